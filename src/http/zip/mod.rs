//! Zip files of an instance, a series, a study or a list of them: the files as
//! they are stored, or as a medium with a DICOMDIR (PS3.10, PS3.11) that can be
//! burnt as it is.
//!
//! Entries are stored, so the length is known and ranges can be fetched; the
//! checksums follow from those of the archive. Names are made of UIDs or
//! numbers only, so no entry can leave the folder it is unpacked in.

mod layout;
pub mod list;

use std::{collections::HashMap, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web::Data};

use self::layout::{Entry, Moment, Stretch, layout};
use super::{
    Problem, State,
    body::{FirstBytes, Part, Representation},
    negotiate::{Asked, Choices, Content, How, Items, Stored},
    params,
    wado::{
        Presented,
        answer::{Gathered, not_decoded},
    },
};
use crate::{
    archive::{Checksum, Crc, FileForm, InstanceRow, Pieces, Scope, View},
    dicom::{
        SeriesUid, StudyUid,
        dicomdir::{Directory, FileOfMedium},
        transfer_syntax::EXPLICIT_LITTLE,
    },
};

/// How the files are to be put into the zip file.
struct Order {
    syntax: Asked,
    /// As a medium with a DICOMDIR.
    is_medium: bool,
    instances_max: usize,
}

impl Order {
    fn of(state: &State, pairs: &[(String, String)], syntax: Asked) -> Result<Self, Problem> {
        let is_medium = match pairs.iter().rev().find(|(name, _)| name == "dicomdir") {
            None => false,
            Some((_, value)) if value == "true" => true,
            Some((_, value)) if value == "false" => false,
            Some(_) => return Err(Problem::invalid_parameter("dicomdir", "dicomdir is true or false")),
        };
        Ok(Self { syntax, is_medium, instances_max: state.config.limits.zip_instances_max })
    }

    /// In which form an instance goes in, and what its transfer syntax is then.
    fn deliver<'r>(&self, row: &'r InstanceRow) -> Option<(FileForm, &'r str)> {
        let syntax = match (&self.syntax, self.is_medium) {
            // Who names none gets the very bytes that were stored.
            (Asked::Default, false) => return Some((FileForm::AsStored, &row.transfer_syntax)),
            // A medium is to be read everywhere: of the uncompressed ones all
            // profiles of PS3.11 know Explicit VR Little Endian only.
            (Asked::Default, true) => Asked::Any,
            (asked @ (Asked::Any | Asked::Uid(_)), _) => asked.clone(),
        };
        let stored =
            Stored { transfer_syntax: &row.transfer_syntax, content: Content::Pixels, decodable: false };
        match Choices::files(syntax).deliver(&stored)?.how {
            How::Stored => Some((FileForm::AsStored, &row.transfer_syntax)),
            How::LittleEndian => Some((FileForm::ExplicitLittleEndian, EXPLICIT_LITTLE)),
            // Compressed pixels go into a zip file as they are, or not at all.
            How::Decoded | How::Encoded => None,
        }
    }
}

/// The zip file of a study, a series or an instance.
pub async fn of_scope(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
    syntax: Asked,
) -> Result<HttpResponse, Problem> {
    let order = Order::of(state, &params::query(request), syntax)?;
    let name = match &scope {
        Scope::Study(study) => study.to_string(),
        Scope::Series(path) => path.series.to_string(),
        Scope::Instance(path) => path.instance.to_string(),
    };
    let path = request.path().trim_start_matches(super::state::SERVICE_ROOT);
    let location = format!("{}{path}", state.base_url(request)?);
    let rows = move |view: &View<'_>| Ok((view.instances(&scope)?, None));
    answer(state, request, order, name, Some(location), rows).await
}

/// What a zip file holds, and what is to be said of what it does not.
type Rows = (Vec<InstanceRow>, Option<String>);

async fn answer(
    state: &Data<State>,
    request: &HttpRequest,
    order: Order,
    name: String,
    location: Option<String>,
    rows: impl FnOnce(&View<'_>) -> Result<Rows, Problem> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let first_bytes = FirstBytes::of(request);
    let permit = state.permit(request);
    let represented = state.archive.retrieve(&permit, move |view| {
        let rows = rows(view)?;
        Ok::<_, Problem>(represent(view, &order, rows, &name, location)?.loaded(view, first_bytes)?)
    });
    let base_url = state.base_url(request)?;
    represented.await?.send(state, request, &base_url).await
}

/// A file on its way into the zip file.
struct Member {
    entry: Entry,
    data: Option<Pieces>,
    checksum: Option<Arc<Checksum>>,
}

fn represent(
    view: &View<'_>,
    order: &Order,
    (rows, missing): Rows,
    name: &str,
    location: Option<String>,
) -> Result<Representation, Problem> {
    if rows.len() > order.instances_max {
        return Err(Problem::too_large(format!(
            "{} instances are more than the {} that one zip file may hold (limits.zip_instances_max); ask for \
             the series one by one",
            rows.len(),
            order.instances_max
        )));
    }
    let mut gathered = Gathered::new(if rows.len() > 1 { Items::Many } else { Items::One });
    gathered.identity.update(&[u8::from(order.is_medium)]);
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let Some((form, syntax)) = order.deliver(&row) else {
            gathered.leave_out(&row);
            continue;
        };
        let content_type = format!("application/dicom; transfer-syntax={syntax}");
        let part = view.file(&row, form).map(|pieces| vec![Part { content_type, location: None, pieces }]);
        let before = gathered.parts.len();
        gathered.take(view, &row, part)?;
        if gathered.parts.len() > before {
            let syntax = syntax.to_owned();
            taken.push((row, form, syntax));
        }
    }
    let partial = gathered.settle(not_decoded)?;
    let mut members = Vec::with_capacity(taken.len() + 1);
    let mut names = Names::default();
    let mut directory = order.is_medium.then(Directory::default);
    let mut newest = Moment::of(0);
    let parts = std::mem::take(&mut gathered.parts);
    for ((row, form, syntax), part) in taken.iter().zip(parts) {
        gathered.identity.update(&row.stamp.0.to_le_bytes());
        newest = newest.max(Moment::of(row.stamp.0));
        let name = match &mut directory {
            Some(directory) => {
                let id = names.of_medium(row);
                directory.add(&FileOfMedium {
                    id: &id,
                    sop_class: &row.sop_class,
                    sop_instance: row.path.instance.as_str(),
                    transfer_syntax: syntax,
                    set: &view.data_set(row)?,
                });
                id.join("/")
            }
            None => format!("{}/{}/{}.dcm", row.path.study, row.path.series, row.path.instance),
        };
        let (crc, checksum) = match view.crc(row, *form)? {
            Crc::Known(crc) => (Some(crc), None),
            Crc::Later(checksum) => (None, Some(checksum)),
        };
        let entry = Entry { name, length: part.pieces.length(), modified: Moment::of(row.stamp.0), crc };
        members.push(Member { entry, data: Some(part.pieces), checksum });
    }
    if let Some(directory) = directory {
        members.insert(0, listed(directory, &gathered.identity, newest)?);
    }
    let part = Part { content_type: "application/zip".to_owned(), location, pieces: pieces(members) };
    let said: Vec<String> = partial.into_iter().chain(missing).collect();
    Ok(Representation::single(part, &gathered.identity)
        .presented(Some(Presented::download(&format!("{name}.zip"))))
        .partial((!said.is_empty()).then(|| said.join("; "))))
}

/// The DICOMDIR. Its UID follows from what it lists, so that a range of the zip
/// file fetched later has the same bytes.
fn listed(directory: Directory, identity: &blake3::Hasher, modified: Moment) -> Result<Member, Problem> {
    let number = identity.finalize().as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
    let file = directory.write(&format!("2.25.{number}"))?;
    let entry = Entry {
        name: "DICOMDIR".to_owned(),
        length: file.len() as u64,
        modified,
        crc: Some(crc32fast::hash(&file)),
    };
    let mut data = Pieces::new();
    data.push_bytes(file);
    Ok(Member { entry, data: Some(data), checksum: None })
}

fn pieces(mut members: Vec<Member>) -> Pieces {
    let entries: Vec<Entry> = members.iter().map(|member| member.entry.clone()).collect();
    let mut pieces = Pieces::new();
    for stretch in layout(&entries) {
        match stretch {
            Stretch::Bytes(bytes) => pieces.push_bytes(bytes),
            Stretch::Crc(index) => {
                if let Some(checksum) = &members[index].checksum {
                    pieces.push_checksum(checksum);
                }
            }
            Stretch::Data(index) => {
                if let Some(data) = members[index].data.take() {
                    pieces.append(data);
                }
            }
        }
    }
    pieces
}

/// The names of files on a medium: 8 characters of `A-Z 0-9 _` (PS3.10 section
/// 8.2), counted in the order in which they come.
#[derive(Default)]
struct Names {
    /// The number of a study and how many series of it there are so far.
    studies: HashMap<StudyUid, (usize, usize)>,
    /// The number of a series and how many files of it there are so far.
    series: HashMap<(StudyUid, SeriesUid), (usize, usize)>,
}

impl Names {
    fn of_medium(&mut self, row: &InstanceRow) -> Vec<String> {
        let path = &row.path;
        let count = self.studies.len();
        let (study, in_study) = self.studies.entry(path.study.clone()).or_insert((count + 1, 0));
        let key = (path.study.clone(), path.series.clone());
        let (series, in_series) = self.series.entry(key).or_insert_with(|| {
            *in_study += 1;
            (*in_study, 0)
        });
        *in_series += 1;
        vec![
            "DICOM".to_owned(),
            format!("ST{study:06}"),
            format!("SE{series:06}"),
            format!("IM{in_series:06}"),
        ]
    }
}
