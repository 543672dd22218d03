//! A sheet as SVG: one unit a millimetre, the grid as a pattern. Invariant:
//! text from the data set is escaped, and there is no script.

use std::fmt::Write;

use super::sheet::Sheet;

pub fn write(sheet: &Sheet) -> String {
    let (width, height) = (sheet.width, sheet.height);
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
         viewBox=\"0 0 {width} {height}\">\n<defs>\
         <pattern id=\"mm\" width=\"1\" height=\"1\" patternUnits=\"userSpaceOnUse\">\
         <path d=\"M1 0H0V1\" fill=\"none\" stroke=\"#f3c4c4\" stroke-width=\"0.1\"/></pattern>\
         <pattern id=\"cm\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
         <rect width=\"5\" height=\"5\" fill=\"url(#mm)\"/>\
         <path d=\"M5 0H0V5\" fill=\"none\" stroke=\"#e08a8a\" stroke-width=\"0.2\"/></pattern></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff8f8\"/>\
         <rect width=\"{width}\" height=\"{height}\" fill=\"url(#cm)\"/>\n\
         <g fill=\"none\" stroke=\"#101010\" stroke-width=\"0.25\" stroke-linejoin=\"round\">\n"
    );
    for line in &sheet.lines {
        out.push_str("<polyline points=\"");
        for (x, y) in line {
            let _ = write!(out, "{x:.2},{y:.2} ");
        }
        out.push_str("\"/>\n");
    }
    out.push_str("</g>\n<g font-family=\"sans-serif\" font-size=\"4\" fill=\"#101010\">\n");
    for (x, y, text) in &sheet.texts {
        let _ = writeln!(out, "<text x=\"{x:.2}\" y=\"{y:.2}\">{}</text>", crate::render::escaped(text));
    }
    out.push_str("</g>\n</svg>\n");
    out
}
