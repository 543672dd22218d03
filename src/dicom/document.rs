//! The text of encapsulated documents (PS3.3 section A.45): PDF, CDA and other
//! XML, plain text. Documents are anyone's: what is read of one is bounded in
//! memory; whoever calls bounds the time, and takes a panic of the PDF library
//! for a document without text.

use lopdf::{Document, LoadOptions};
use quick_xml::{Reader, events::Event};

/// Bytes that a stream of a PDF may inflate to.
const INFLATED_BYTES_MAX: usize = 64 << 20;
/// Pages of a PDF that are read.
const PAGES_MAX: usize = 2000;

/// Why a document gave no text.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("the PDF cannot be read: {0}")]
    Pdf(#[from] lopdf::Error),
    #[error("the XML cannot be read: {0}")]
    Xml(#[from] quick_xml::Error),
}

/// Does a document of this media type have text that can be read?
#[must_use]
pub fn is_readable(media_type: &str) -> bool {
    Kind::of(media_type).is_some()
}

enum Kind {
    Pdf,
    Xml,
    Plain,
}

impl Kind {
    fn of(media_type: &str) -> Option<Self> {
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/pdf" => Some(Self::Pdf),
            "text/plain" => Some(Self::Plain),
            "text/xml" | "application/xml" => Some(Self::Xml),
            other if other.ends_with("+xml") => Some(Self::Xml),
            _ => None,
        }
    }
}

/// The text of a document, as much of it as fits in so many bytes; empty for a
/// media type that is not read.
///
/// # Errors
/// When the document is not what its media type says, or is protected.
pub fn text_of(media_type: &str, document: &[u8], bytes_max: usize) -> Result<String, DocumentError> {
    let mut text = Text { text: String::new(), left: bytes_max };
    match Kind::of(media_type) {
        Some(Kind::Pdf) => pdf(document, &mut text)?,
        Some(Kind::Xml) => xml(document, &mut text)?,
        Some(Kind::Plain) => _ = text.add(&String::from_utf8_lossy(document)),
        None => {}
    }
    Ok(text.text)
}

/// A text that grows to a limit.
struct Text {
    text: String,
    left: usize,
}

impl Text {
    /// False when it is full.
    fn add(&mut self, more: &str) -> bool {
        let end = (0..=self.left.min(more.len())).rev().find(|end| more.is_char_boundary(*end));
        let fits = more.get(..end.unwrap_or_default()).unwrap_or_default();
        self.text.push_str(fits);
        self.left -= fits.len();
        fits.len() == more.len() && self.left > 0
    }

    /// What follows is another word.
    fn part(&mut self) {
        if self.left > 0 && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
            self.left -= 1;
        }
    }
}

fn pdf(document: &[u8], text: &mut Text) -> Result<(), DocumentError> {
    let options = LoadOptions { max_decompressed_size: Some(INFLATED_BYTES_MAX), ..LoadOptions::default() };
    let document = Document::load_mem_with_options(document, options)?;
    for page in document.get_pages().into_keys().take(PAGES_MAX) {
        // A page that cannot be read does not take the others with it.
        let chunks = document.extract_text_chunks_with_limit(&[page], INFLATED_BYTES_MAX);
        let page: String = chunks.into_iter().flatten().collect();
        text.part();
        if !text.add(page.trim()) {
            break;
        }
    }
    Ok(())
}

/// All character data. Entities that the document defines itself are not
/// expanded.
fn xml(document: &[u8], text: &mut Text) -> Result<(), DocumentError> {
    let document = String::from_utf8_lossy(document);
    let mut reader = Reader::from_str(document.trim_end_matches('\0'));
    loop {
        let goes_on = match reader.read_event()? {
            Event::Text(data) => text.add(&data.xml10_content()),
            Event::CData(data) => text.add(&data.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => text.add(character.encode_utf8(&mut [0; 4])),
                Ok(None) | Err(_) => text.add(" "),
            },
            Event::Eof => false,
            Event::Start(_) | Event::End(_) | Event::Empty(_) => {
                text.part();
                true
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => true,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cda_and_plain_text() {
        let cda = "<?xml version=\"1.0\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>Discharge n&#246;te</title>\
                   <text>Sinus &amp; throat<br/><![CDATA[no fever]]></text><!-- not this --></ClinicalDocument>\0";
        let text = text_of("text/XML", cda.as_bytes(), 1000).unwrap();
        for words in ["Discharge nöte", "Sinus", "throat", "no fever"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("not this"));
        assert_eq!(text_of("text/plain; charset=utf-8", "größer".as_bytes(), 3).unwrap(), "gr");
        assert_eq!(text_of("model/stl", b"solid", 10).unwrap(), "");
        assert!(text_of("text/xml", b"<a></b>", 10).is_err());
        assert!(text_of("application/pdf", b"%PDF-1.7 nonsense", 10).is_err());
        assert!(is_readable("application/PDF") && !is_readable("model/obj"));
    }
}
