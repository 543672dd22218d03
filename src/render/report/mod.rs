//! Structured reports to be read (PS3.3 section C.17.3): as a page of HTML, as
//! plain text, and as XML for programs. What a report says is shown in full: headings, texts, coded
//! meanings, measurements with their units, references.

mod content;
mod html;
mod text;
mod xml;

pub use content::Report;

use crate::dicom::DataSet;

/// The report as a page that stands alone. Everything that is not our own
/// mark-up is escaped.
#[must_use]
pub fn html(set: &DataSet) -> String {
    html::write(&Report::read(set))
}

/// The report as plain text, in UTF-8.
#[must_use]
pub fn text(set: &DataSet) -> String {
    text::write(&Report::read(set))
}

/// The report as XML.
#[must_use]
pub fn xml(set: &DataSet) -> String {
    xml::write(&Report::read(set))
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;
    use crate::dicom::{Element, VR, Value};

    fn code(meaning: &str) -> Element {
        let mut item = DataSet::new();
        item.put_text(tags::CODE_VALUE, VR::SH, "C-1");
        item.put_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "99TEST");
        item.put_text(tags::CODE_MEANING, VR::LO, meaning);
        Element::new(VR::SQ, Value::Items(vec![item]))
    }

    fn item(relationship: &str, value_type: &str, name: &str) -> DataSet {
        let mut set = DataSet::new();
        set.put_text(tags::RELATIONSHIP_TYPE, VR::CS, relationship);
        set.put_text(tags::VALUE_TYPE, VR::CS, value_type);
        set.put(tags::CONCEPT_NAME_CODE_SEQUENCE, code(name));
        set
    }

    fn with_children(mut set: DataSet, children: Vec<DataSet>) -> DataSet {
        set.put(tags::CONTENT_SEQUENCE, Element::new(VR::SQ, Value::Items(children)));
        set
    }

    fn measurement(name: &str, value: &str) -> DataSet {
        let mut measured = DataSet::new();
        measured.put_text(tags::NUMERIC_VALUE, VR::DS, value);
        measured.put(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, code("millimeter"));
        let mut set = item("CONTAINS", "NUM", name);
        set.put(tags::MEASURED_VALUE_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![measured])));
        set
    }

    fn report() -> DataSet {
        let mut finding = item("CONTAINS", "TEXT", "Finding");
        finding.put_text(tags::TEXT_VALUE, VR::UT, "<script>alert(1)</script>\r\nsecond & last");
        let mut site = item("CONTAINS", "CODE", "Site");
        site.put(tags::CONCEPT_CODE_SEQUENCE, code("Lung \"left\""));
        let mut modifier = item("HAS CONCEPT MOD", "CODE", "Laterality");
        modifier.put(tags::CONCEPT_CODE_SEQUENCE, code("Left"));
        let site = with_children(site, vec![modifier]);
        let mut again = DataSet::new();
        again.put_text(tags::RELATIONSHIP_TYPE, VR::CS, "INFERRED FROM");
        again.put(
            tags::REFERENCED_CONTENT_ITEM_IDENTIFIER,
            Element::new(VR::UL, Value::Unsigned(vec![1, 1, 1])),
        );
        let section = with_children(
            item("CONTAINS", "CONTAINER", "Findings"),
            vec![finding, site, measurement("Length", "12.5"), measurement("Width", "7"), again],
        );
        with_children(item("", "CONTAINER", "Chest CT report"), vec![section])
    }

    #[test]
    fn rnd_13_a_report_is_a_page_that_cannot_do_harm() {
        let page = html(&report());
        assert!(page.starts_with("<!DOCTYPE html>"));
        assert!(!page.contains("<script"), "{page}");
        for expected in [
            "<h1 id=\"item-1\">Chest CT report</h1>",
            "<h2 id=\"item-1.1\">Findings</h2>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "second &amp; last",
            "Lung &quot;left&quot;",
            "Laterality",
            "<td>12.5</td><td>millimeter</td>",
            "<a href=\"#item-1.1.1\">",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        assert_eq!(page.matches("<table").count(), 1, "measurements that follow each other are one table");
    }

    #[test]
    fn rnd_13_a_report_is_plain_text() {
        let text = text(&report());
        for expected in [
            "Chest CT report\n===============",
            "Finding: <script>",
            "Length: 12.5 millimeter",
            "(Laterality: Left)",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn rnd_13_a_report_is_xml() {
        let text = xml(&report());
        for expected in [
            "<report title=\"Chest CT report\">",
            "<section place=\"1.1\" name=\"Findings\">",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            " unit=\"millimeter\">12.5</measurement>",
            "<code place=\"1.1.2.1\" name=\"Laterality\" relationship=\"Modifier\"",
            "<reference place=\"1.1.5\" relationship=\"Inferred from\">1.1.1</reference>",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        let mut reader = quick_xml::Reader::from_str(&text);
        while reader.read_event().expect("well-formed") != quick_xml::events::Event::Eof {}
    }

    #[test]
    fn rnd_13_a_report_of_nothing_is_still_a_page() {
        assert!(html(&DataSet::new()).contains("<h1"));
        assert!(!text(&DataSet::new()).is_empty());
    }
}
