//! An `AuditMessage` as a syslog message (RFC 5424, PS3.15 section A.6), in the
//! octet-counted frame of a stream (RFC 5425, RFC 6587).

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Facility 10 (security), severity 5 (notice).
const PRIORITY: &str = "<85>1";
const MESSAGE_ID: &str = "DICOM+RFC3881";
const APP_NAME: &str = "hilum";
/// What says that the message is UTF-8 (RFC 5424 section 6.4).
const BOM: &str = "\u{feff}";

/// The highest `sequenceId` (RFC 5424 section 7.3.1).
const SEQUENCE_MAX: u64 = 2_147_483_647;

/// The frame of one message: of the line `number` of the log.
#[must_use]
pub fn frame(at: OffsetDateTime, number: u64, host: &str, xml: &str) -> Vec<u8> {
    let at = timestamp(at);
    let process = std::process::id();
    let host = printable(host);
    let sequence = number.saturating_sub(1) % SEQUENCE_MAX + 1;
    let header = format!("{PRIORITY} {at} {host} {APP_NAME} {process} {MESSAGE_ID}");
    let message = format!("{header} [meta sequenceId=\"{sequence}\"] {BOM}{xml}");
    [format!("{} ", message.len()).as_bytes(), message.as_bytes()].concat()
}

/// A time with at most the six digits of a second that the RFC allows.
fn timestamp(at: OffsetDateTime) -> String {
    let micros = at.microsecond() * 1000;
    at.replace_nanosecond(micros).unwrap_or(at).format(&Rfc3339).unwrap_or_else(|_| "-".to_owned())
}

/// A header field: printable ASCII, and something.
fn printable(host: &str) -> String {
    let host: String = host.chars().filter(char::is_ascii_graphic).take(255).collect();
    if host.is_empty() { "-".to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_its_octets() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_767_225_600_123_456_789).unwrap();
        let frame = String::from_utf8(frame(at, 7, "pacs 1", "<A>ä</A>")).unwrap();
        let (length, message) = frame.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len());
        let process = std::process::id();
        assert_eq!(
            message,
            format!(
                "<85>1 2026-01-01T00:00:00.123456Z pacs1 hilum {process} DICOM+RFC3881 [meta sequenceId=\"7\"] \u{feff}<A>ä</A>"
            )
        );
    }
}
