//! The local accounts: `DIR/accounts/<name>.json`, one file each, put in place
//! whole. A command and a running server may change them at the same time: who
//! changes one holds the lock of the folder, and the server looks for what
//! others have changed ([`Accounts::refresh`]).
//!
//! Knows no rule of passwords or roles: it keeps what it is given. Holds no
//! password and no token, only what they are checked against. Invariant: what
//! is in memory was read from, or written to, a whole file.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::whole_file;

/// Accounts, and tokens of one, that are kept.
const ACCOUNTS_MAX: usize = 10_000;
const TOKENS_MAX: usize = 100;
const FORMAT: u32 = 1;
/// A change this young may share its time with one that comes after it.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Of the file's form.
    pub format: u32,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    pub roles: Vec<String>,
    #[serde(default)]
    pub tenants: Vec<String>,
    /// The password's hash as a PHC string.
    pub password: String,
    #[serde(default)]
    pub disabled: bool,
    /// Raised when sessions that began before must end.
    #[serde(default)]
    pub epoch: u64,
    /// Seconds since 1970.
    pub created: u64,
    #[serde(default)]
    pub tokens: Vec<Token>,
}

/// A personal token: whoever has it acts for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: String,
    pub label: String,
    /// SHA-256 of its secret part, which has 256 random bits.
    pub digest: String,
    /// Those of the account's roles that it has; empty: all of them.
    #[serde(default)]
    pub roles: Vec<String>,
    /// What it is narrowed to besides; empty: nothing.
    #[serde(default)]
    pub scopes: Vec<String>,
    pub created: u64,
    pub expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
}

/// Why an account cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: not an account that this version understands: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error(
        "{0:?} is no account's name: 1 to 64 of a-z, 0-9, '.', '-', '_' and '@', beginning with a letter or a digit"
    )]
    Name(String),
    #[error("there is no account {0}")]
    Unknown(String),
    #[error("there is an account {0} already")]
    Taken(String),
    #[error("there are {0} already, as many as are kept")]
    Full(usize),
}

/// All of them.
pub struct Accounts {
    folder: PathBuf,
    known: RwLock<Known>,
    /// When the folder had last changed as it was read.
    scanned: Mutex<Option<SystemTime>>,
}

#[derive(Default)]
struct Known {
    accounts: BTreeMap<String, Kept>,
    /// Whose token an id is.
    tokens: HashMap<String, String>,
}

struct Kept {
    account: Arc<Account>,
    modified: Option<SystemTime>,
}

impl Accounts {
    /// Reads the accounts of an archive. The folder is made with the first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn open(data: &Path) -> Result<Self, AccountsError> {
        let accounts =
            Self { folder: data.join("accounts"), known: RwLock::default(), scanned: Mutex::default() };
        accounts.refresh()?;
        Ok(accounts)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Account>> {
        self.read().accounts.get(name).map(|kept| Arc::clone(&kept.account))
    }

    /// The account that a token belongs to.
    #[must_use]
    pub fn of_token(&self, id: &str) -> Option<Arc<Account>> {
        let known = self.read();
        let name = known.tokens.get(id)?;
        known.accounts.get(name).map(|kept| Arc::clone(&kept.account))
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Account>> {
        self.read().accounts.values().map(|kept| Arc::clone(&kept.account)).collect()
    }

    /// Keeps a new account.
    ///
    /// # Errors
    /// When its name is none or taken, or it cannot be written.
    pub fn add(&self, account: Account) -> Result<Arc<Account>, AccountsError> {
        check_name(&account.name)?;
        let _lock = self.lock()?;
        self.refresh()?;
        let count = self.read().accounts.len();
        if count >= ACCOUNTS_MAX {
            return Err(AccountsError::Full(count));
        }
        if self.get(&account.name).is_some() {
            return Err(AccountsError::Taken(account.name));
        }
        self.put(account)
    }

    /// Changes an account as it is on the disk at that moment.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be written.
    pub fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Account),
    ) -> Result<Arc<Account>, AccountsError> {
        check_name(name)?;
        let _lock = self.lock()?;
        self.refresh()?;
        let account = self.get(name).ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        let mut account = Account::clone(&account);
        change(&mut account);
        if account.tokens.len() > TOKENS_MAX {
            return Err(AccountsError::Full(TOKENS_MAX));
        }
        self.put(account)
    }

    /// Reads what others have changed; the names of those accounts.
    ///
    /// # Errors
    /// When one cannot be read; the others are known as before then.
    pub fn refresh(&self) -> Result<Vec<String>, AccountsError> {
        // Each change puts a file in place, and that changes the folder.
        let folder_changed = self.folder.metadata().and_then(|metadata| metadata.modified()).ok();
        let mut scanned = self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old =
            folder_changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > CLOCK_STEP);
        if is_old && *scanned == folder_changed {
            return Ok(Vec::new());
        }
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(AccountsError::Io { path: self.folder.clone(), source }),
        };
        let (mut there, mut fresh, mut failed) = (Vec::new(), Vec::new(), None);
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
            let Some(name) = name.filter(|name| check_name(name).is_ok()) else { continue };
            there.push(name.to_owned());
            let modified = path.metadata().and_then(|metadata| metadata.modified()).ok();
            if self.read().accounts.get(name).is_some_and(|kept| kept.modified == modified) {
                continue;
            }
            match read(&path, name) {
                Ok(account) => fresh.push((account, modified)),
                Err(error) => failed = Some(error),
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed: Vec<String> = fresh.iter().map(|(account, _)| account.name.clone()).collect();
        let gone: Vec<String> = known.accounts.keys().filter(|name| !there.contains(name)).cloned().collect();
        for name in &gone {
            known.forget(name);
        }
        changed.extend(gone);
        for (account, modified) in fresh {
            known.keep(account, modified);
        }
        if failed.is_none() {
            *scanned = folder_changed;
        }
        failed.map_or(Ok(changed), Err)
    }

    fn put(&self, account: Account) -> Result<Arc<Account>, AccountsError> {
        let path = self.folder.join(format!("{}.json", account.name));
        let bytes = serde_json::to_vec_pretty(&account)
            .map_err(|error| AccountsError::Malformed { path: path.clone(), why: error.to_string() })?;
        whole_file::put(&path, &bytes).map_err(|source| AccountsError::Io { path: path.clone(), source })?;
        let modified = path.metadata().and_then(|metadata| metadata.modified()).ok();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.keep(account, modified))
    }

    /// One changes accounts at a time, in whatever process.
    fn lock(&self) -> Result<File, AccountsError> {
        let path = self.folder.join("lock");
        // What is in there is nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.and_then(|()| File::create(&path))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|source| AccountsError::Io { path, source })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget(&mut self, name: &str) {
        self.accounts.remove(name);
        self.tokens.retain(|_, owner| owner != name);
    }

    fn keep(&mut self, account: Account, modified: Option<SystemTime>) -> Arc<Account> {
        self.forget(&account.name);
        for token in &account.tokens {
            self.tokens.insert(token.id.clone(), account.name.clone());
        }
        let account = Arc::new(account);
        self.accounts.insert(account.name.clone(), Kept { account: Arc::clone(&account), modified });
        account
    }
}

fn read(path: &Path, name: &str) -> Result<Account, AccountsError> {
    let io = |source| AccountsError::Io { path: path.to_owned(), source };
    let malformed = |why: String| AccountsError::Malformed { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(io)?;
    let account: Account = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if account.format != FORMAT || account.name != name {
        return Err(malformed(format!("format {} of {}", account.format, account.name)));
    }
    Ok(account)
}

impl Account {
    /// An account without tokens.
    #[must_use]
    pub fn new(name: String, password: String, roles: Vec<String>, created: u64) -> Self {
        Self {
            format: FORMAT,
            name,
            full_name: None,
            roles,
            tenants: Vec::new(),
            password,
            disabled: false,
            epoch: 0,
            created,
            tokens: Vec::new(),
        }
    }
}

/// Names are part of paths, and of what the trail says: they look like one thing
/// only, and like none of the subjects that are no accounts.
fn check_name(name: &str) -> Result<(), AccountsError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-@".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let reserved = ["local", "operator", "anonymous", "lock"].contains(&name);
    if begins && name.len() <= 64 && name.bytes().all(plain) && !reserved {
        return Ok(());
    }
    Err(AccountsError::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Account {
        Account::new(name.to_owned(), "$argon2id$…".to_owned(), vec!["viewer".to_owned()], 1)
    }

    #[test]
    fn what_one_process_changes_another_sees() {
        let folder = tempfile::TempDir::new().unwrap();
        let server = Accounts::open(folder.path()).unwrap();
        let command = Accounts::open(folder.path()).unwrap();
        command.add(account("ada")).unwrap();
        assert_eq!(server.refresh().unwrap(), ["ada"]);
        assert!(server.refresh().unwrap().is_empty(), "nothing new");
        server.change("ada", |ada| ada.disabled = true).unwrap();
        // Changed by the command without having looked: nothing is lost.
        command.change("ada", |ada| ada.roles.push("auditor".to_owned())).unwrap();
        server.refresh().unwrap();
        let ada = server.get("ada").unwrap();
        assert!(ada.disabled && ada.roles.len() == 2);
        fs::remove_file(folder.path().join("accounts/ada.json")).unwrap();
        assert_eq!(server.refresh().unwrap(), ["ada"]);
        assert!(server.get("ada").is_none());
    }

    #[test]
    fn tokens_lead_to_their_accounts() {
        let folder = tempfile::TempDir::new().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        accounts.add(account("ada")).unwrap();
        let token = |id: &str| Token {
            id: id.to_owned(),
            label: String::new(),
            digest: String::new(),
            roles: Vec::new(),
            scopes: Vec::new(),
            created: 1,
            expires: 2,
            last_used: None,
        };
        accounts.change("ada", |ada| ada.tokens.push(token("t1"))).unwrap();
        assert_eq!(accounts.of_token("t1").unwrap().name, "ada");
        accounts.change("ada", |ada| ada.tokens.clear()).unwrap();
        assert!(accounts.of_token("t1").is_none());
        let many = (0..=TOKENS_MAX).map(|number| token(&number.to_string()));
        assert!(matches!(accounts.change("ada", |ada| ada.tokens.extend(many)), Err(AccountsError::Full(_))));
    }

    #[test]
    fn names_that_are_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        for name in ["", "../x", "A", "a/b", "a b", ".a", "operator", "a|b", "lock", &"a".repeat(65)] {
            assert!(matches!(accounts.add(account(name)), Err(AccountsError::Name(_))), "{name}");
        }
        accounts.add(account("a.b@c-d_e")).unwrap();
        assert!(matches!(accounts.add(account("a.b@c-d_e")), Err(AccountsError::Taken(_))));
        assert!(matches!(accounts.change("b", |_| {}), Err(AccountsError::Unknown(_))));
    }

    #[test]
    fn a_file_that_is_no_account_is_told_by_its_path() {
        let folder = tempfile::TempDir::new().unwrap();
        let accounts = Accounts::open(folder.path()).unwrap();
        accounts.add(account("ada")).unwrap();
        fs::write(folder.path().join("accounts/bob.json"), "{").unwrap();
        let error = accounts.refresh().unwrap_err().to_string();
        assert!(error.contains("bob.json"), "{error}");
        assert!(accounts.get("ada").is_some());
    }
}
