//! The parameters of a rendered resource (PS3.18 section 8.3.5.1) as values.
//! What is unknown is ignored; what is known and malformed is 400 and says how
//! it should be.

use actix_web::HttpRequest;

use crate::{
    archive::InstanceRow,
    http::{Problem, params::query_values},
    render::{
        annotate::Annotations,
        encode::QUALITY_DEFAULT,
        geometry::{Source, Viewport},
        icc,
        picture::Look,
        voi::{Function, Window},
    },
};

/// How the client wants to see it.
#[derive(Debug, Clone)]
pub struct Wish {
    pub look: Look,
    pub quality: u8,
    pub profile: icc::Asked,
    /// What is ignored and must be said so.
    pub warning: Option<String>,
    /// The presentation state to show it with.
    pub presentation: Option<Box<InstanceRow>>,
}

impl Wish {
    /// Reads the query. A side of the viewport is at most `side_max`.
    ///
    /// # Errors
    /// 400 for a parameter that is malformed.
    pub fn of(request: &HttpRequest, side_max: u32) -> Result<Self, Problem> {
        let (annotations, warning) = annotation(query_values(request, "annotation"))?;
        Ok(Self {
            look: Look {
                window: first(request, "window").map(|text| window(&text)).transpose()?,
                viewport: first(request, "viewport").map(|text| viewport(&text, side_max)).transpose()?,
                annotations,
                ..Look::default()
            },
            quality: first(request, "quality")
                .map_or(Ok(QUALITY_DEFAULT), |text| quality("quality", &text))?,
            profile: first(request, "iccprofile").map_or(Ok(icc::Asked::No), |text| profile(&text))?,
            warning,
            presentation: None,
        })
    }
}

/// What the URI service says in words of its own (section 9.5.1).
#[derive(Debug, Clone)]
pub struct UriWish {
    pub wish: Wish,
    /// Counted from 1.
    pub frame: Option<u32>,
    /// The series and the instance of a presentation state, as they were given.
    pub presentation: Option<(String, String)>,
}

impl UriWish {
    /// Reads the pairs of the query. A side is at most `side_max`.
    ///
    /// # Errors
    /// 400 for a parameter that is malformed.
    pub fn of(pairs: &[(String, String)], side_max: u32) -> Result<Self, Problem> {
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let presentation = match (value("presentationSeriesUID"), value("presentationUID")) {
            (None, None) => None,
            (Some(series), Some(instance)) => Some((series.to_owned(), instance.to_owned())),
            _ => {
                let detail = "presentationSeriesUID and presentationUID come together";
                return Err(Problem::invalid_parameter("presentationUID", detail));
            }
        };
        let number = |name: &str, most: u32| {
            let invalid =
                || Problem::invalid_parameter(name, format!("{name} is a whole number from 1 to {most}"));
            let parse = |text: &str| {
                text.trim().parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(invalid)
            };
            value(name).map(parse).transpose()
        };
        let fits = match (number("columns", side_max)?, number("rows", side_max)?) {
            (None, None) => None,
            (columns, rows) => Some((columns.unwrap_or(side_max), rows.unwrap_or(side_max))),
        };
        let source = value("region").map(region).transpose()?;
        let window = match (value("windowCenter"), value("windowWidth")) {
            (None, None) => None,
            (center, width) => {
                let window = center
                    .zip(width)
                    .and_then(|(center, width)| checked_window(center, width, Function::Linear));
                let detail = "windowCenter and windowWidth come together, as numbers, the width at least 1";
                Some(window.ok_or_else(|| Problem::invalid_parameter("windowCenter", detail))?)
            }
        };
        let texts = pairs
            .iter()
            .filter(|(key, _)| matches!(key.as_str(), "annotation" | "imageAnnotation"))
            .map(|(_, value)| value.clone())
            .collect();
        let (annotations, warning) = annotation(texts)?;
        let viewport = (fits.is_some() || source.is_some())
            .then(|| Viewport { fits, source: source.unwrap_or_default() });
        let wish = Wish {
            look: Look { window, viewport, annotations, ..Look::default() },
            quality: value("imageQuality")
                .map_or(Ok(QUALITY_DEFAULT), |text| quality("imageQuality", text))?,
            profile: value("iccprofile").map_or(Ok(icc::Asked::No), profile)?,
            warning,
            presentation: None,
        };
        Ok(Self { wish, frame: number("frameNumber", u32::MAX)?, presentation })
    }
}

/// `xmin,ymin,xmax,ymax` in fractions of the image.
fn region(text: &str) -> Result<Source, Problem> {
    let numbers: Vec<f64> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    match numbers[..] {
        [left, top, right, bottom]
            if text.split(',').count() == 4
                && 0.0 <= left
                && left < right
                && right <= 1.0
                && 0.0 <= top
                && top < bottom
                && bottom <= 1.0 =>
        {
            Ok(Source {
                x: left,
                y: top,
                width: Some(right - left),
                height: Some(bottom - top),
                relative: true,
            })
        }
        _ => Err(Problem::invalid_parameter(
            "region",
            "the region is its left, top, right and bottom as parts of the image: region=0.25,0.25,0.75,0.75",
        )),
    }
}

fn first(request: &HttpRequest, name: &str) -> Option<String> {
    query_values(request, name).into_iter().next()
}

/// The size of a thumbnail: two numbers and nothing else (section 8.3.5.2).
///
/// # Errors
/// 400 when it is malformed.
pub fn thumbnail_size(request: &HttpRequest, default: u32, side_max: u32) -> Result<(u32, u32), Problem> {
    let Some(text) = first(request, "viewport") else { return Ok((default, default)) };
    if text.split(',').count() > 2 {
        let detail = "the viewport of a thumbnail is its width and height and nothing else: viewport=128,128";
        return Err(Problem::invalid_parameter("viewport", detail));
    }
    Ok(viewport(&text, side_max)?.fits.unwrap_or((default, default)))
}

/// `center,width,function`; without a function it is the linear one.
fn window(text: &str) -> Result<Window, Problem> {
    let invalid = || {
        Problem::invalid_parameter(
            "window",
            "the window is its center, its width and linear, linear-exact or sigmoid: window=40,400,linear; \
             the width is above 0, and at least 1 for linear",
        )
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (center, width, function) = match parts[..] {
        [center, width] => (center, width, "linear"),
        [center, width, function] => (center, width, function),
        _ => return Err(invalid()),
    };
    let function = match function.to_ascii_lowercase().as_str() {
        "linear" => Function::Linear,
        "linear-exact" => Function::LinearExact,
        "sigmoid" => Function::Sigmoid,
        _ => return Err(invalid()),
    };
    checked_window(center, width, function).ok_or_else(invalid)
}

/// A window whose numbers make sense.
#[must_use]
pub fn checked_window(center: &str, width: &str, function: Function) -> Option<Window> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let (center, width) = (number(center)?, number(width)?);
    let fits = if function == Function::Linear { width >= 1.0 } else { width > 0.0 };
    fits.then_some(Window { center, width, function })
}

/// `vw,vh[,sx,sy,sw,sh]`, any of the last four left out.
fn viewport(text: &str, side_max: u32) -> Result<Viewport, Problem> {
    let invalid = || {
        Problem::invalid_parameter(
            "viewport",
            format!(
                "the viewport is its width and height, 1 to {side_max} (render.side_max), then if wanted the left, \
                 top, width and height of the region of the image, each of which may be left out: \
                 viewport=512,512 or viewport=512,512,100,,200,-200; a negative size mirrors"
            ),
        )
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (sides, region) =
        parts.split_at_checked(2).filter(|(_, region)| region.len() <= 4).ok_or_else(invalid)?;
    let side = |text: &str| {
        text.parse::<u32>().ok().filter(|side| (1..=side_max).contains(side)).ok_or_else(invalid)
    };
    let number = |at: usize| match region.get(at).copied().unwrap_or_default() {
        "" => Ok(None),
        text => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Some).ok_or_else(invalid),
    };
    let (x, y) = (number(0)?.unwrap_or(0.0), number(1)?.unwrap_or(0.0));
    let (width, height) = (number(2)?, number(3)?);
    if x < 0.0 || y < 0.0 || width == Some(0.0) || height == Some(0.0) {
        return Err(invalid());
    }
    let source = Source { x, y, width, height, relative: false };
    Ok(Viewport { fits: Some((side(sides[0])?, side(sides[1])?)), source })
}

/// A quality of 1 to 100.
///
/// # Errors
/// 400 for anything else.
pub fn quality(name: &str, text: &str) -> Result<u8, Problem> {
    text.trim().parse().ok().filter(|quality| (1..=100).contains(quality)).ok_or_else(|| {
        Problem::invalid_parameter(
            name,
            format!("{name} is a whole number from 1 (smallest file) to 100 (best picture)"),
        )
    })
}

fn profile(text: &str) -> Result<icc::Asked, Problem> {
    Ok(match text.trim().to_ascii_lowercase().as_str() {
        "no" => icc::Asked::No,
        "yes" => icc::Asked::Yes,
        "srgb" => icc::Asked::Srgb,
        "adobergb" => icc::Asked::AdobeRgb,
        "rommrgb" => icc::Asked::RommRgb,
        _ => {
            let detail = "iccprofile is one of no, yes, srgb, adobergb and rommrgb";
            return Err(Problem::invalid_parameter("iccprofile", detail));
        }
    })
}

/// `patient` and `technique`; other keywords are ignored and named in a warning
/// (section 8.3.5.1.1).
fn annotation(texts: Vec<String>) -> Result<(Annotations, Option<String>), Problem> {
    let mut annotations = Annotations::default();
    let mut ignored = Vec::new();
    for text in texts {
        for keyword in text.split(',').map(str::trim) {
            let is_keyword = !keyword.is_empty()
                && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            match keyword {
                "patient" => annotations.patient = true,
                "technique" => annotations.technique = true,
                _ if is_keyword => ignored.push(keyword.to_owned()),
                _ => {
                    let detail = "the annotation is patient, technique or both: annotation=patient,technique";
                    return Err(Problem::invalid_parameter("annotation", detail));
                }
            }
        }
    }
    let warning = (!ignored.is_empty())
        .then(|| format!("The following annotation values are not supported: {}", ignored.join(", ")));
    Ok((annotations, warning))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn wish(query: &str) -> Result<Wish, Problem> {
        Wish::of(&TestRequest::with_uri(&format!("/?{query}")).to_http_request(), 8192)
    }

    fn refused(query: &str, parameter: &str) {
        let problem = wish(query).expect_err(query);
        assert_eq!(problem.code(), "invalid-parameter", "{query}");
        assert!(problem.to_string().contains(parameter), "{query}: {problem}");
    }

    #[test]
    fn rnd_03_windows() {
        let of = |query: &str| wish(query).expect("valid").look.window.expect("one");
        let window = of("window=40,400,linear");
        assert_eq!((window.center, window.width, window.function), (40.0, 400.0, Function::Linear));
        assert_eq!(of("window=-0.5,1.5,linear-exact").function, Function::LinearExact);
        assert_eq!(of("window=1e3,20,SIGMOID").function, Function::Sigmoid);
        assert_eq!(of("window=40,400").function, Function::Linear);
        for query in [
            "",
            "40",
            "40,400,cubic",
            "40,0.5,linear",
            "40,0,sigmoid",
            "a,b,linear",
            "1,inf,linear",
            "1,2,linear,3",
        ] {
            refused(&format!("window={query}"), "window");
        }
    }

    #[test]
    fn rnd_04_viewports() {
        let of = |query: &str| wish(query).expect("valid").look.viewport.expect("one");
        assert_eq!(of("viewport=512,256").source, Source::default());
        let source = Source { x: 10.0, y: 0.0, width: Some(200.0), height: Some(-100.5), relative: false };
        assert_eq!(of("viewport=512,256,10,,200,-100.5").source, source);
        assert_eq!(of("viewport=512,256,,5").source, Source { y: 5.0, ..Source::default() });
        for query in [
            "",
            "512",
            "0,1",
            "-1,1",
            "512,256.5",
            "9000,1",
            "1,1,-1",
            "1,1,,,0",
            "1,1,2,3,4,5,6",
            "1,1,x",
            ",1",
        ] {
            refused(&format!("viewport={query}"), "viewport");
        }
        let thumbnail = |query: &str| {
            let request = TestRequest::with_uri(&format!("/?viewport={query}")).to_http_request();
            thumbnail_size(&request, 256, 8192)
        };
        assert_eq!(thumbnail("64,32").expect("valid"), (64, 32));
        assert!(thumbnail("64,32,1").is_err());
    }

    #[test]
    fn rnd_05_rnd_06_rnd_07_the_rest() {
        assert_eq!(wish("quality=1").expect("valid").quality, 1);
        for query in ["0", "101", "50.5", "", "high"] {
            refused(&format!("quality={query}"), "quality");
        }
        let both = wish("annotation=technique,patient,series").expect("valid");
        assert!(both.look.annotations.patient && both.look.annotations.technique);
        assert!(both.warning.expect("one").ends_with("not supported: series"));
        refused("annotation=", "annotation");
        refused("annotation=patient,%3Cx%3E", "annotation");
        assert_eq!(wish("iccprofile=sRGB").expect("valid").profile, icc::Asked::Srgb);
        refused("iccprofile=cmyk", "iccprofile");
        assert!(wish("unknown=1&Window=x").is_ok(), "names are case-sensitive, unknown ones are ignored");
    }

    #[test]
    fn uri_6_parameters_of_the_uri_service() {
        let of = |query: &[(&str, &str)]| {
            let pairs: Vec<_> =
                query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            UriWish::of(&pairs, 8192)
        };
        let all = of(&[
            ("frameNumber", "2"),
            ("rows", "100"),
            ("region", "0,0.25,0.5,1"),
            ("windowCenter", "40"),
            ("windowWidth", "400"),
            ("imageQuality", "50"),
            ("imageAnnotation", "patient"),
        ])
        .expect("valid");
        assert_eq!((all.frame, all.wish.quality), (Some(2), 50));
        let viewport = all.wish.look.viewport.expect("one");
        assert_eq!(viewport.fits, Some((8192, 100)));
        let source = Source { x: 0.0, y: 0.25, width: Some(0.5), height: Some(0.75), relative: true };
        assert_eq!(viewport.source, source);
        assert!(all.wish.look.annotations.patient && all.wish.look.window.is_some());
        for (query, parameter) in [
            (&[("frameNumber", "0")][..], "frameNumber"),
            (&[("rows", "x")], "rows"),
            (&[("region", "0,0,1")], "region"),
            (&[("region", "0.5,0,0.5,1")], "region"),
            (&[("windowCenter", "40")], "windowCenter"),
            (&[("imageQuality", "0")], "imageQuality"),
        ] {
            let problem = of(query).expect_err(parameter);
            assert!(problem.to_string().contains(parameter), "{problem}");
        }
        assert_eq!(of(&[("presentationUID", "1.2")]).expect_err("refused").code(), "invalid-parameter");
        let both = of(&[("presentationUID", "1.2"), ("presentationSeriesUID", "1.3")]).expect("valid");
        assert_eq!(both.presentation, Some(("1.3".to_owned(), "1.2".to_owned())));
    }
}
