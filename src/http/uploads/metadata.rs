//! `Upload-Metadata`: pairs of a key and a base64 value, separated by commas.
//! Only `filetype` means something here; the rest is given back as it came.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::http::Problem;

/// Bytes of the whole header.
const BYTES_MAX: usize = 8 * 1024;

/// What an upload is: what `filetype` says, a DICOM file if it says nothing of use.
///
/// # Errors
/// 400 when the header is malformed.
pub fn content_type(metadata: &str) -> Result<String, Problem> {
    let wrong = |why: &str| Err(Problem::invalid_parameter("Upload-Metadata", why));
    if metadata.len() > BYTES_MAX {
        return wrong("it is longer than 8 KiB");
    }
    let mut found = None;
    for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let Ok(value) = STANDARD.decode(value.trim()) else {
            return wrong("a value is not base64; it is `key base64,key base64`");
        };
        // Some clients say `type`, and some `filetype`.
        if matches!(key, "filetype" | "type") && found.is_none() {
            let Ok(text) = String::from_utf8(value) else { return wrong("the filetype is not UTF-8") };
            found = Some(text);
        }
    }
    // A browser knows no type for .dcm.
    let unknown = |text: &String| text.trim().is_empty() || text.starts_with("application/octet-stream");
    Ok(found.filter(|text| !unknown(text)).unwrap_or_else(|| "application/dicom".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> String {
        format!("{key} {}", STANDARD.encode(value))
    }

    #[test]
    fn the_filetype_is_found() {
        let multipart = "multipart/related; type=\"application/dicom\"; boundary=a,b";
        for (metadata, expected) in [
            (String::new(), "application/dicom"),
            ("is_confidential".to_owned(), "application/dicom"),
            (pair("filename", "Ünïcode.dcm"), "application/dicom"),
            (format!("{},{}", pair("filename", "a"), pair("filetype", multipart)), multipart),
            (pair("filetype", ""), "application/dicom"),
            (pair("filetype", "application/octet-stream"), "application/dicom"),
            (pair("filetype", "text/plain"), "text/plain"),
        ] {
            assert_eq!(content_type(&metadata).expect("well formed"), expected);
        }
        for malformed in ["filetype ?", "a b c", &pair("a", &"x".repeat(9000))] {
            assert!(content_type(malformed).is_err());
        }
    }
}
