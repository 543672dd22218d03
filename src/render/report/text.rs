//! A report as plain text: headings underlined, what is nested indented.

use std::fmt::Write;

use super::content::{Item, ItemValue, Relationship, Report};

const INDENT: &str = "  ";

pub fn write(report: &Report) -> String {
    let mut page = String::new();
    heading(report.root.name.as_deref().unwrap_or("Report"), '=', "", &mut page);
    let width = report.head.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, text) in &report.head {
        let _ = writeln!(page, "{label:width$}  {}", plain(text, ""));
    }
    for child in &report.root.children {
        one(child, "", &mut page);
    }
    page
}

fn heading(name: &str, line: char, indent: &str, page: &mut String) {
    let name = plain(name, indent);
    if !page.is_empty() {
        page.push('\n');
    }
    let underline: String = std::iter::repeat_n(line, name.chars().count()).collect();
    let _ = writeln!(page, "{indent}{name}\n{indent}{underline}");
}

fn one(item: &Item, indent: &str, page: &mut String) {
    if item.relationship == Relationship::Modifier {
        return;
    }
    if item.value == ItemValue::Container {
        if let Some(name) = &item.name {
            heading(name, '-', indent, page);
        }
        for child in &item.children {
            one(child, indent, page);
        }
        return;
    }
    let inner = format!("{indent}{INDENT}");
    page.push_str(indent);
    if let Some(relation) = item.relationship.label() {
        let _ = write!(page, "[{relation}] ");
    }
    let _ = writeln!(page, "{}", named(item, &inner));
    for child in &item.children {
        one(child, &inner, page);
    }
}

/// `name: value (modifiers)`
fn named(item: &Item, indent: &str) -> String {
    let mut text = item.name.as_deref().map(|name| format!("{}: ", plain(name, indent))).unwrap_or_default();
    match &item.value {
        ItemValue::Container | ItemValue::None => {}
        ItemValue::Text(value) => text.push_str(&plain(value, indent)),
        ItemValue::Code { meaning, .. } => text.push_str(&plain(meaning, indent)),
        ItemValue::Measurement { value, unit } => {
            text.push_str(plain(&format!("{value} {unit}"), indent).trim_end());
        }
        ItemValue::Instance { what, .. } => text.push_str(&plain(what, indent)),
        ItemValue::Item(place) => text.push_str(&plain(&format!("see item {place}"), indent)),
    }
    let modifiers: Vec<String> = item
        .children
        .iter()
        .filter(|child| child.relationship == Relationship::Modifier)
        .map(|child| named(child, indent))
        .collect();
    if !modifiers.is_empty() {
        let _ = write!(text, " ({})", modifiers.join(", "));
    }
    text
}

/// Lines after the first begin where the text does.
fn plain(text: &str, indent: &str) -> String {
    let clean: String =
        text.chars().filter(|character| !character.is_control() || *character == '\n').collect();
    clean.replace('\n', &format!("\n{indent}"))
}
