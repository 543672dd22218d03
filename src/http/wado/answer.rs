//! What the retrievals share: one visit to the pool that looks up, chooses and
//! begins to read, and the rule for what cannot be given. One instance of many
//! that has no acceptable form, or whose bytes are damaged, is left out of the
//! answer (206 and a warning); the only one is an error (PS3.18 section 8.7.8).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    archive::{ArchiveError, InstanceRow, Made, Scope, View},
    dicom::transfer_syntax,
    http::{
        Problem, State,
        body::{FirstBytes, Part, Representation},
        negotiate::{Choices, Items},
    },
};

/// Bytes of an answer that are read before it begins, so that damage in them
/// is still the failure of one instance.
const AHEAD_BYTES: u64 = 512 * 1024;

pub fn items(scope: &Scope) -> Items {
    match scope {
        Scope::Instance(_) => Items::One,
        Scope::Study(_) | Scope::Series(_) => Items::Many,
    }
}

/// What the work in the pool needs to know of the request.
pub struct Asked {
    pub choices: Choices,
    pub base_url: String,
    /// The frames that go out in another form than the stored one.
    pub made: Made,
    boundary_key: [u8; 32],
    first_bytes: FirstBytes,
}

impl Asked {
    pub fn new(state: &State, request: &HttpRequest, mut choices: Choices) -> Result<Self, Problem> {
        choices.with_loss = state.config.pixels.lossy;
        Ok(Self {
            choices,
            base_url: state.base_url(request)?,
            made: state.archive.no_frames_made(),
            boundary_key: state.boundary_key,
            first_bytes: FirstBytes::of(request),
        })
    }

    /// Why nothing acceptable can be made of what is stored in `syntax`.
    pub fn not_acceptable(&self, syntax: &str) -> Problem {
        if self.choices.name_loss() && !self.choices.with_loss {
            return Problem::not_acceptable(
                "this server encodes pixels without loss only (pixels.lossy is false): ask for a lossless \
                 Transfer Syntax, or for transfer-syntax=*",
            );
        }
        not_decoded(syntax)
    }

    pub fn multipart(&self, root: &str, parts: Vec<Part>, identity: &blake3::Hasher) -> Representation {
        Representation::multipart(&self.boundary_key, root, parts, &self.base_url, identity)
    }

    /// Looks up and reads in one visit to the pool, then sends. If frames must
    /// be decoded for it, that is done then, apart, and a second visit knows
    /// what became of them.
    pub async fn answer(
        self,
        state: &Data<State>,
        request: &HttpRequest,
        represent: impl Fn(&View<'_>, &Asked) -> Result<Representation, Problem> + Send + Sync + 'static,
    ) -> Result<HttpResponse, Problem> {
        let permit = state.permit(request);
        let (asked, represent) = (Arc::new(self), Arc::new(represent));
        let look = || {
            let (asked, represent) = (Arc::clone(&asked), Arc::clone(&represent));
            state.archive.retrieve(&permit, move |view| {
                Ok::<_, Problem>(represent(view, &asked)?.loaded(view, asked.first_bytes)?)
            })
        };
        let at_once = || {
            let first_bytes = asked.first_bytes;
            state.archive.retrieve_at_once(&permit, |view| {
                Ok::<_, Problem>(represent(view, &asked)?.loaded(view, first_bytes)?)
            })
        };
        let mut represented = match at_once() {
            Some(represented) => represented,
            None => look().await,
        };
        if asked.made.is_wanting() {
            state.archive.make_frames(&permit, &asked.made).await?;
            represented = look().await;
        }
        represented?.send(state, request, &asked.base_url).await
    }
}

pub fn one_row(view: &View<'_>, scope: &Scope) -> Result<InstanceRow, Problem> {
    view.instances(scope)?.pop().ok_or_else(|| Problem::not_found("instance"))
}

pub fn instance_url(base_url: &str, row: &InstanceRow) -> String {
    let path = &row.path;
    format!("{base_url}/studies/{}/series/{}/instances/{}", path.study, path.series, path.instance)
}

pub fn identity_of(row: &InstanceRow) -> blake3::Hasher {
    let mut identity = blake3::Hasher::new();
    identity.update(&row.digest.0);
    identity
}

/// The parts of an answer on their way together, and what had to be left out.
pub struct Gathered {
    items: Items,
    pub parts: Vec<Part>,
    pub identity: blake3::Hasher,
    /// Bytes still to be read ahead.
    ahead: u64,
    /// Instances or values without an acceptable form.
    unacceptable: usize,
    syntax: Option<String>,
    damaged: usize,
    /// Instances in a bucket that does not answer.
    away: usize,
    damage: Option<Problem>,
    said: Vec<String>,
}

impl Gathered {
    pub fn new(items: Items) -> Self {
        Self {
            items,
            parts: Vec::new(),
            identity: blake3::Hasher::new(),
            ahead: AHEAD_BYTES,
            unacceptable: 0,
            syntax: None,
            damaged: 0,
            away: 0,
            damage: None,
            said: Vec::new(),
        }
    }

    /// Notes what is missing of something that is there.
    pub fn say(&mut self, missing: Option<String>) {
        self.said.extend(missing);
    }

    /// Leaves out what has no acceptable form.
    pub fn leave_out(&mut self, row: &InstanceRow) {
        self.unacceptable += 1;
        self.syntax.get_or_insert_with(|| row.transfer_syntax.clone());
    }

    /// Takes the parts of an instance, or leaves them out if its bytes are not
    /// what was stored. The content types and the digest name what was taken.
    ///
    /// # Errors
    /// Damage, if nothing else was asked for; any other failure of a storage.
    pub fn take(
        &mut self,
        view: &View<'_>,
        row: &InstanceRow,
        parts: Result<Vec<Part>, ArchiveError>,
    ) -> Result<(), Problem> {
        match parts.and_then(|parts| self.read_ahead(view, row, parts)) {
            Ok(parts) => {
                self.identity.update(&row.digest.0);
                for part in &parts {
                    self.identity.update(part.content_type.as_bytes());
                }
                self.parts.extend(parts);
                Ok(())
            }
            Err(error) if self.items == Items::Many && error.is_of_one_instance() => {
                tracing::error!(%error, instance = %row.path, "left out of an answer");
                if error.is_away() {
                    self.away += 1;
                } else {
                    self.damaged += 1;
                }
                self.damage = Some(error.into());
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_ahead(
        &mut self,
        view: &View<'_>,
        row: &InstanceRow,
        mut parts: Vec<Part>,
    ) -> Result<Vec<Part>, ArchiveError> {
        if self.items == Items::Many {
            view.find(row)?;
            for part in &mut parts {
                if self.ahead > 0 {
                    view.load(&mut part.pieces)?;
                    self.ahead = self.ahead.saturating_sub(part.pieces.length());
                }
            }
        }
        Ok(parts)
    }

    /// What to say of what was left out; an error when nothing else is left.
    ///
    /// # Errors
    /// 406, or the damage.
    pub fn settle(&mut self, unacceptable: impl Fn(&str) -> Problem) -> Result<Option<String>, Problem> {
        if self.parts.is_empty() {
            match (&self.syntax, self.damage.take()) {
                (_, Some(damage)) => return Err(damage),
                (Some(syntax), None) => return Err(unacceptable(syntax)),
                (None, None) => return Ok(None),
            }
        }
        let mut said = std::mem::take(&mut self.said);
        if self.unacceptable > 0 {
            said.push(format!(
                "{} items cannot be given in an acceptable form and are left out",
                self.unacceptable
            ));
        }
        if self.damaged > 0 {
            said.push(format!("{} instances are damaged and are left out", self.damaged));
        }
        if self.away > 0 {
            said.push(format!(
                "{} instances are in a bucket that does not answer and are left out; ask again later",
                self.away
            ));
        }
        Ok((!said.is_empty()).then(|| said.join("; ")))
    }
}

pub fn not_decoded(syntax: &str) -> Problem {
    let name = transfer_syntax::find(syntax).map_or("a private transfer syntax", |known| known.name);
    Problem::not_acceptable(format!(
        "it is stored in {syntax} ({name}) and can be given as that only: add transfer-syntax=* to the \
         media type in Accept, or ask for the media type of that compression"
    ))
}
