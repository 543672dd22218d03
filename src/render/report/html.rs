//! A report as HTML. Invariant: what comes from the data set goes through
//! [`escaped`]; there is no script, and nothing is fetched from anywhere.

use std::fmt::Write;

use super::content::{Item, ItemValue, Relationship, Report};
use crate::render::escaped;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#1b1f24}\
h1,h2,h3,h4,h5,h6{line-height:1.25;margin:1.4em 0 .4em}table{border-collapse:collapse;margin:.6em 0}\
td,th{padding:.15em .9em .15em 0;text-align:left;vertical-align:top}th{font-weight:600}\
table.measurements td,table.measurements th{border-bottom:1px solid #d5dae0}\
.text{white-space:pre-wrap}.name{font-weight:600}.modifier,.relation{color:#57606a}\
ul{margin:.2em 0;padding-left:1.4em}";

/// Deepest heading of HTML.
const HEADING_MAX: usize = 6;

pub fn write(report: &Report) -> String {
    let mut page = String::with_capacity(4096);
    let title = report.root.name.as_deref().unwrap_or("Report");
    let title = escaped(title);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1 id=\"item-1\">{title}</h1>\n"
    );
    if !report.head.is_empty() {
        page.push_str("<table class=\"head\">\n");
        for (label, text) in &report.head {
            let _ = writeln!(page, "<tr><th>{label}</th><td>{}</td></tr>", escaped(text));
        }
        page.push_str("</table>\n");
    }
    children(&report.root, 2, &mut page);
    page.push_str("</body></html>\n");
    page
}

/// What is below an item, its modifiers aside: these stand beside its value.
fn children(item: &Item, depth: usize, page: &mut String) {
    let mut rest = item.children.as_slice();
    while let Some((child, after)) = rest.split_first() {
        let measurements = rest.iter().take_while(|child| is_plain_measurement(child)).count();
        if measurements > 0 {
            table(&rest[..measurements], page);
            rest = &rest[measurements..];
            continue;
        }
        if child.relationship != Relationship::Modifier {
            one(child, depth, page);
        }
        rest = after;
    }
}

fn is_plain_measurement(item: &Item) -> bool {
    matches!(item.value, ItemValue::Measurement { .. })
        && item.relationship == Relationship::Contains
        && item.children.iter().all(|child| child.relationship == Relationship::Modifier)
}

fn table(items: &[Item], page: &mut String) {
    page.push_str("<table class=\"measurements\">\n");
    for item in items {
        let name = escaped(item.name.as_deref().unwrap_or_default());
        if let ItemValue::Measurement { value, unit } = &item.value {
            let _ = write!(
                page,
                "<tr id=\"item-{}\"><th>{name}</th><td>{}</td><td>{}</td><td class=\"modifier\">",
                item.place,
                escaped(value),
                escaped(unit)
            );
        }
        let modifiers: Vec<String> = modifiers(item).collect();
        page.push_str(&modifiers.join(", "));
        page.push_str("</td></tr>\n");
    }
    page.push_str("</table>\n");
}

fn one(item: &Item, depth: usize, page: &mut String) {
    let name = item.name.as_deref().map(escaped);
    if item.value == ItemValue::Container {
        if let Some(name) = name {
            let level = depth.min(HEADING_MAX);
            let _ = writeln!(page, "<h{level} id=\"item-{}\">{name}</h{level}>", item.place);
        }
        children(item, depth + 1, page);
        return;
    }
    let _ = write!(page, "<div id=\"item-{}\">", item.place);
    if let Some(relation) = item.relationship.label() {
        let _ = write!(page, "<span class=\"relation\">{relation}</span> ");
    }
    if let Some(name) = name {
        let _ = write!(page, "<span class=\"name\">{name}:</span> ");
    }
    value(&item.value, page);
    let modifiers: Vec<String> = modifiers(item).collect();
    if !modifiers.is_empty() {
        let _ = write!(page, " <span class=\"modifier\">({})</span>", modifiers.join(", "));
    }
    let nested: Vec<_> =
        item.children.iter().filter(|child| child.relationship != Relationship::Modifier).collect();
    if !nested.is_empty() {
        page.push_str("<ul>\n");
        for child in nested {
            page.push_str("<li>");
            one(child, depth + 1, page);
            page.push_str("</li>\n");
        }
        page.push_str("</ul>");
    }
    page.push_str("</div>\n");
}

fn value(value: &ItemValue, page: &mut String) {
    let _ = match value {
        ItemValue::Container | ItemValue::None => Ok(()),
        ItemValue::Text(text) => write!(page, "<span class=\"text\">{}</span>", escaped(text)),
        ItemValue::Code { meaning, code } => {
            write!(page, "<span title=\"{}\">{}</span>", escaped(code), escaped(meaning))
        }
        ItemValue::Measurement { value, unit } => write!(page, "{} {}", escaped(value), escaped(unit)),
        ItemValue::Instance { what, link: Some(link) } => {
            write!(page, "<a href=\"{}\">{}</a>", escaped(link), escaped(what))
        }
        ItemValue::Instance { what, link: None } => write!(page, "{}", escaped(what)),
        ItemValue::Item(place) => {
            let place = escaped(place);
            write!(page, "<a href=\"#item-{place}\">item {place}</a>")
        }
    };
}

/// Modifiers, each with its own in brackets.
fn modifiers(item: &Item) -> impl Iterator<Item = String> {
    item.children.iter().filter(|child| child.relationship == Relationship::Modifier).map(|child| {
        let mut text = child.name.as_deref().map(|name| format!("{}: ", escaped(name))).unwrap_or_default();
        value(&child.value, &mut text);
        let inner: Vec<String> = modifiers(child).collect();
        if !inner.is_empty() {
            let _ = write!(text, " ({})", inner.join(", "));
        }
        text
    })
}
