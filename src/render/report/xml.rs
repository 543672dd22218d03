//! A report as XML: the tree of [`super::content`], element by element, for
//! programs that want its text without a DICOM toolkit.

use std::fmt::Write;

use super::{
    super::escaped,
    content::{Item, ItemValue, Relationship, Report},
};

pub fn write(report: &Report) -> String {
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<report");
    attribute("title", report.root.name.as_deref(), &mut page);
    page.push_str(">\n");
    for (label, text) in &report.head {
        let _ = writeln!(page, "<head name=\"{}\">{}</head>", escaped(label), escaped(text));
    }
    report.root.children.iter().for_each(|child| item(child, &mut page));
    page.push_str("</report>\n");
    page
}

fn attribute(name: &str, value: Option<&str>, page: &mut String) {
    if let Some(value) = value {
        let _ = write!(page, " {name}=\"{}\"", escaped(value));
    }
}

fn item(item: &Item, page: &mut String) {
    let kind = match &item.value {
        ItemValue::Container => "section",
        ItemValue::Text(_) => "text",
        ItemValue::Code { .. } => "code",
        ItemValue::Measurement { .. } => "measurement",
        ItemValue::Instance { .. } => "instance",
        ItemValue::Item(_) => "reference",
        ItemValue::None => "empty",
    };
    let _ = write!(page, "<{kind} place=\"{}\"", escaped(&item.place));
    attribute("name", item.name.as_deref(), page);
    let is_modifier = item.relationship == Relationship::Modifier;
    let relationship = if is_modifier { Some("Modifier") } else { item.relationship.label() };
    attribute("relationship", relationship, page);
    let text = match &item.value {
        ItemValue::Container | ItemValue::None => "",
        ItemValue::Text(text) => text,
        ItemValue::Code { meaning, code } => {
            attribute("code", Some(code), page);
            meaning
        }
        ItemValue::Measurement { value, unit } => {
            attribute("unit", Some(unit), page);
            value
        }
        ItemValue::Instance { what, .. } => what,
        ItemValue::Item(place) => place,
    };
    let _ = write!(page, ">{}", escaped(text));
    for child in &item.children {
        page.push('\n');
        self::item(child, page);
    }
    let _ = writeln!(page, "</{kind}>");
}
