//! A document of headings, paragraphs, lists and tables that can be written as
//! Markdown and as HTML. In its texts `` `…` `` marks what is typed literally;
//! nothing else has a meaning.

use std::fmt::Write;

/// One block of the document.
pub(super) enum Block {
    /// Level from 1 on, and the text.
    Heading(u8, String),
    Text(String),
    List(Vec<String>),
    /// The names of the columns, and the rows.
    Table(Vec<&'static str>, Vec<Vec<String>>),
    /// Text as it is, in this language.
    Literal(&'static str, String),
}

#[derive(Default)]
pub(super) struct Page(Vec<Block>);

impl Page {
    pub fn heading(&mut self, level: u8, text: impl Into<String>) {
        self.0.push(Block::Heading(level, text.into()));
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.0.push(Block::Text(text.into()));
    }

    pub fn list<T: Into<String>>(&mut self, items: impl IntoIterator<Item = T>) {
        self.0.push(Block::List(items.into_iter().map(Into::into).collect()));
    }

    pub fn table(&mut self, columns: &[&'static str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.0.push(Block::Table(columns.to_vec(), rows.into_iter().collect()));
    }

    pub fn literal(&mut self, language: &'static str, text: impl Into<String>) {
        self.0.push(Block::Literal(language, text.into()));
    }

    /// Writing to a String does not fail, so what `write!` returns is dropped.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for block in &self.0 {
            if !out.is_empty() {
                out.push('\n');
            }
            match block {
                Block::Heading(level, text) => {
                    let _ = writeln!(out, "{} {text}", "#".repeat(usize::from(*level)));
                }
                Block::Text(text) => {
                    let _ = writeln!(out, "{text}");
                }
                Block::List(items) => items.iter().for_each(|item| {
                    let _ = writeln!(out, "- {item}");
                }),
                Block::Table(columns, rows) => {
                    let _ = writeln!(out, "| {} |", columns.join(" | "));
                    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
                    for row in rows {
                        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
                        let _ = writeln!(out, "| {} |", cells.join(" | "));
                    }
                }
                Block::Literal(language, text) => {
                    let _ = writeln!(out, "```{language}\n{}\n```", text.trim_end());
                }
            }
        }
        out
    }

    pub fn html(&self, title: &str) -> String {
        let mut out = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head><body>\n",
            inline(title)
        );
        for block in &self.0 {
            match block {
                Block::Heading(level, text) => {
                    let _ = writeln!(out, "<h{level}>{}</h{level}>", inline(text));
                }
                Block::Text(text) => {
                    let _ = writeln!(out, "<p>{}</p>", inline(text));
                }
                Block::List(items) => {
                    out.push_str("<ul>\n");
                    for item in items {
                        let _ = writeln!(out, "<li>{}</li>", inline(item));
                    }
                    out.push_str("</ul>\n");
                }
                Block::Table(columns, rows) => {
                    let row = |out: &mut String, cells: &mut dyn Iterator<Item = &str>, tag: &str| {
                        out.push_str("<tr>");
                        for cell in cells {
                            let _ = write!(out, "<{tag}>{}</{tag}>", inline(cell));
                        }
                        out.push_str("</tr>\n");
                    };
                    out.push_str("<table>\n");
                    row(&mut out, &mut columns.iter().copied(), "th");
                    for cells in rows {
                        row(&mut out, &mut cells.iter().map(String::as_str), "td");
                    }
                    out.push_str("</table>\n");
                }
                Block::Literal(_, text) => {
                    let _ = writeln!(out, "<pre>{}</pre>", escape(text));
                }
            }
        }
        out.push_str("</body></html>\n");
        out
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
     table{border-collapse:collapse;display:block;overflow-x:auto}td,th{border:1px solid #bbb;padding:.2rem .5rem;\
     text-align:left;vertical-align:top}code,pre{font-family:ui-monospace,monospace;background:#f3f3f3}\
     pre{padding:.5rem;overflow-x:auto}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escaped, with what stands between backticks as code.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (index, piece) in text.split('`').enumerate() {
        let piece = escape(piece);
        if index % 2 == 1 {
            let _ = write!(out, "<code>{piece}</code>");
        } else {
            out.push_str(&piece);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut page = Page::default();
        page.heading(2, "A & B");
        page.text("Use `<x>`.");
        page.list(["one", "two"]);
        page.table(&["a", "b"], [vec!["1|2".to_owned(), "`c`".to_owned()]]);
        page.literal("toml", "k = 1\n");
        let markdown = page.markdown();
        assert_eq!(
            markdown,
            "## A & B\n\nUse `<x>`.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1\\|2 | `c` |\n\n```toml\nk = 1\n```\n"
        );
        let html = page.html("T");
        for text in
            ["<h2>A &amp; B</h2>", "<code>&lt;x&gt;</code>", "<li>two</li>", "<td>1|2</td>", "<pre>k = 1"]
        {
            assert!(html.contains(text), "{text}: {html}");
        }
    }
}
