//! Where the master key of an encrypted archive comes from: a file, a command
//! or a variable. Knows nothing of what is done with it. The key is never a
//! value of the configuration, so it cannot be printed with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Encryption at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// Empty: there is none.
    pub key_file: PathBuf,
    /// A program and its arguments. Empty: there is none.
    pub key_command: Vec<String>,
}

/// The variable that holds the key itself.
pub const KEY_VARIABLE: &str = "HILUM_ENCRYPTION_KEY";

/// How long a command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_mins(1);
/// A key is shorter.
const TEXT_BYTES_MAX: u64 = 4096;

impl Encryption {
    /// The text of the key from where the configuration says it is; `None` when
    /// it says nothing.
    ///
    /// # Errors
    /// What is wrong, for the operator; never with the key.
    pub fn fetch(&self) -> Result<Option<Zeroizing<String>>, String> {
        let variable = std::env::var(KEY_VARIABLE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new);
        let named = [!self.key_file.as_os_str().is_empty(), !self.key_command.is_empty(), variable.is_some()];
        if named.into_iter().filter(|named| *named).count() > 1 {
            return Err(format!(
                "more than one of encryption.key_file, encryption.key_command and {KEY_VARIABLE} is set: \
                 leave one"
            ));
        }
        match self.key_command.split_first() {
            Some((program, arguments)) => run(program, arguments).map(Some),
            None if !self.key_file.as_os_str().is_empty() => read_key_file(&self.key_file).map(Some),
            None => Ok(variable),
        }
    }
}

/// The text of a key file.
///
/// # Errors
/// What is wrong, for the operator.
pub fn read_key_file(path: &Path) -> Result<Zeroizing<String>, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| format!("the key file {} cannot be read: {error}", path.display());
    let file = std::fs::File::open(path).map_err(failed)?;
    warn_if_open_to_others(path, &file);
    // Read into what was allocated once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(TEXT_BYTES_MAX).unwrap_or_default()));
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn warn_if_open_to_others(path: &Path, file: &std::fs::File) {
    use std::os::unix::fs::PermissionsExt;
    let open = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(path = %path.display(), "others may read the key file: chmod 600 it");
    }
}

/// What a command prints.
fn run(program: &str, arguments: &[String]) -> Result<Zeroizing<String>, String> {
    use std::io::Read;
    let failed = |why: &dyn std::fmt::Display| format!("encryption.key_command ({program}) {why}");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&format!("cannot be run: {error}")))?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < COMMAND_TIME_MAX => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => {
                // It is of no more use, whether it can be stopped or not.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(&format!("did not end within {} s", COMMAND_TIME_MAX.as_secs())));
            }
        }
    };
    if !status.success() {
        return Err(failed(&format!("failed: {status}")));
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(TEXT_BYTES_MAX).unwrap_or_default()));
    if let Some(out) = child.stdout.take() {
        let read = out.take(TEXT_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|_| failed(&"printed what is not text"))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(file: &str, command: &[&str]) -> Encryption {
        let key_command = command.iter().map(|word| (*word).to_owned()).collect();
        Encryption { key_file: file.into(), key_command }
    }

    #[test]
    fn a_key_from_a_file_or_a_command() {
        assert_eq!(of("", &[]).fetch(), Ok(None));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(*of(path, &[]).fetch().unwrap().unwrap(), "secret\n");
        assert_eq!(*of("", &["echo", "secret"]).fetch().unwrap().unwrap(), "secret\n");
        assert!(of(path, &["echo"]).fetch().unwrap_err().contains("more than one"));
        assert!(of("/nowhere", &[]).fetch().unwrap_err().contains("/nowhere"));
        assert!(of("", &["false"]).fetch().unwrap_err().contains("failed"));
        assert!(of("", &["/nowhere"]).fetch().unwrap_err().contains("cannot be run"));
    }
}
