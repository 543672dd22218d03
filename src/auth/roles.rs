//! From who a caller is to what they may do: the roles of the configuration and
//! the scopes of their token become [`Rights`]. Owns what each role grants;
//! knows nothing of requests.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use super::{
    Identity, Method, Permit, Rights, Tenant,
    permit::Action,
    smart::{self, Context},
};
use crate::{
    config,
    dicom::query::{Alternative, QueryError},
};

/// What each role grants.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    roles: BTreeMap<String, Role>,
}

#[derive(Debug, Clone)]
struct Role {
    actions: BTreeSet<Action>,
    within: Within,
    deidentified: bool,
    /// In which archives; empty: where its owner belongs.
    tenants: Vec<String>,
}

/// Where a role's actions extend to.
#[derive(Debug, Clone)]
enum Within {
    Everything,
    Fixed(Alternative),
    /// It moves with the day, and is read anew for each request.
    Moving(String),
}

/// A role of the configuration that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    #[error("roles.{role}.allow has {action:?}, which is none of {}", names())]
    Action { role: String, action: String },
    #[error("roles.{role}.where: {source}")]
    Where { role: String, source: QueryError },
}

fn names() -> String {
    Action::ALL.map(Action::name).join(", ")
}

impl Roles {
    /// # Errors
    /// The first role that makes no sense.
    pub fn new(roles: &BTreeMap<String, config::Role>) -> Result<Self, RoleError> {
        let mut read = BTreeMap::new();
        for (name, role) in roles {
            read.insert(name.clone(), Role::read(name, role)?);
        }
        Ok(Self { roles: read })
    }

    /// Whether there is a role of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.roles.contains_key(name)
    }

    /// What a caller may do in the root archive.
    #[must_use]
    pub fn permit(&self, identity: &Identity) -> Permit {
        self.permit_in(identity, &Tenant::Root)
    }

    /// What a caller may do in an archive of the server.
    #[must_use]
    pub fn permit_in(&self, identity: &Identity, tenant: &Tenant) -> Permit {
        let permit = match identity.method {
            _ if *tenant == Tenant::Unknown => Permit::nobody(),
            Method::Off => Permit::local(),
            Method::Operator => Permit::operator(),
            Method::Anonymous => Permit::nobody(),
            // What a link is for stands in the link, and no role changes it.
            Method::Share { .. } => Permit::new(&identity.subject, Rights::default()),
            Method::Password | Method::ApiToken { .. } | Method::Jwt { .. } | Method::Certificate => {
                Permit::new(&identity.subject, self.rights(identity, tenant))
            }
        };
        permit.from_peer(identity.peer)
    }

    fn rights(&self, identity: &Identity, tenant: &Tenant) -> Rights {
        let mut rights = Rights::default();
        let roles = identity.roles.iter().filter_map(|name| self.roles.get(name));
        for role in roles.filter(|role| tenant.is_within(&role.tenants, &identity.tenants)) {
            role.grant(&mut rights);
        }
        let own = identity.own_patient();
        let issuer = identity.patient_issuer.as_deref();
        let context = Context { patient: identity.patient.as_deref().or(own), issuer };
        let scopes = smart::read(&identity.scopes, &context);
        if matches!(identity.method, Method::ApiToken { .. }) {
            if identity.scopes.is_empty() {
                return rights;
            }
            let mut narrowed = scopes.of_user.unwrap_or_default();
            narrowed.grant(identity.scopes.iter().filter_map(|name| Action::by_name(name)), None);
            return rights.and(&narrowed);
        }
        // Scopes of a user narrow what the user may do; others stand alone.
        let mut all = match &scopes.of_user {
            Some(narrowed) => rights.and(narrowed),
            None if scopes.is_smart => Rights::default(),
            None => rights,
        };
        if tenant.is_within(&[], &identity.tenants) {
            all.add(&scopes.own);
        }
        match own {
            // A patient sees what is theirs, whatever their roles are.
            Some(id) => {
                let mut narrowed = Rights::default();
                narrowed.grant(Action::READS, Some(&Alternative::of_patient(id, issuer)));
                all.and(&narrowed)
            }
            None => all,
        }
    }
}

impl Role {
    fn read(name: &str, role: &config::Role) -> Result<Self, RoleError> {
        let mut actions = BTreeSet::new();
        for action in &role.allow {
            let wrong = || RoleError::Action { role: name.to_owned(), action: action.clone() };
            actions.insert(Action::by_name(action).ok_or_else(wrong)?);
        }
        let text = role.r#where.trim();
        let parse = || {
            Alternative::parse(text, &today())
                .map_err(|source| RoleError::Where { role: name.to_owned(), source })
        };
        let within = match text {
            "" => Within::Everything,
            _ if Alternative::is_relative(text) => {
                parse()?;
                Within::Moving(text.to_owned())
            }
            _ => Within::Fixed(parse()?),
        };
        Ok(Self { actions, within, deidentified: role.deidentified, tenants: role.tenants.clone() })
    }

    fn grant(&self, rights: &mut Rights) {
        let within = match &self.within {
            Within::Everything => None,
            Within::Fixed(alternative) => Some(alternative.clone()),
            // It was read at the start; a day on which it cannot be grants nothing.
            Within::Moving(text) => match Alternative::parse(text, &today()) {
                Ok(alternative) => Some(alternative),
                Err(_) => return,
            },
        };
        let within = match (within, self.deidentified) {
            (within, false) => within,
            (within, true) => Some(within.unwrap_or_default().of_deidentified()),
        };
        rights.grant(self.actions.iter().copied(), within.as_ref());
    }
}

/// The date in UTC, `YYYYMMDD`.
fn today() -> String {
    let (year, month, day) = OffsetDateTime::now_utc().to_calendar_date();
    format!("{year:04}{:02}{day:02}", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Reach, config::Config};

    fn roles() -> Roles {
        let mut config = Config::default().roles;
        let own = |allow: &[&str], r#where: &str| config::Role {
            allow: allow.iter().map(|&action| action.to_owned()).collect(),
            r#where: r#where.to_owned(),
            deidentified: false,
            tenants: Vec::new(),
        };
        config.insert("ct".to_owned(), own(&["search", "view"], "Modality=CT"));
        config.insert("month".to_owned(), own(&["search"], "StudyDate=-30d-"));
        Roles::new(&config).expect("roles")
    }

    fn permit(roles: &[&str], scopes: &[&str], patient: Option<&str>) -> Permit {
        of(Method::Certificate, roles, scopes, patient)
    }

    fn of(method: Method, roles: &[&str], scopes: &[&str], patient: Option<&str>) -> Permit {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        super::tests::roles().permit(&Identity {
            method,
            roles: owned(roles),
            scopes: owned(scopes),
            patient: patient.map(str::to_owned),
            ..Identity::anonymous()
        })
    }

    fn may(permit: &Permit) -> String {
        let actions = Action::ALL.into_iter().filter(|action| permit.allows(*action));
        actions.map(Action::name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_roles_that_are_built_in() {
        for (role, expected) in [
            ("viewer", "search view"),
            ("uploader", "store commit"),
            ("clinician", "search view download share deidentify"),
            ("researcher", "search view download"),
            ("auditor", "audit"),
            ("nobody", ""),
        ] {
            assert_eq!(may(&permit(&[role], &[], None)), expected, "{role}");
        }
        let administrator = permit(&["administrator"], &[], None);
        assert!(Action::ALL.iter().all(|action| *administrator.reach(*action) == Reach::Everything));
        let researcher = permit(&["researcher"], &[], None);
        let filter = researcher.reach(Action::View).filter().expect("a filter");
        assert!(filter.asks_instances());
        let both = permit(&["ct", "uploader"], &[], None);
        assert_eq!(may(&both), "search view store commit");
        assert!(both.reach(Action::View).filter().is_some() && both.reach(Action::Store).filter().is_none());
        assert!(permit(&["month"], &[], None).reach(Action::Search).filter().is_some());
    }

    #[test]
    fn scopes_narrow_users_and_stand_alone_for_systems() {
        for (roles, scopes, patient, expected) in [
            (&["clinician"][..], &["openid", "profile"][..], None, "search view download share deidentify"),
            (&["clinician"], &["user/ImagingStudy.s"], None, "search"),
            (&["clinician"], &["user/ImagingStudy.rs"], None, "search view download"),
            (&["clinician"], &["user/Observation.rs"], None, ""),
            (&[], &["user/ImagingStudy.rs"], None, ""),
            (&[], &["system/*.c"], None, "store commit"),
            (&[], &["system/ImagingStudy.write"], None, "store delete commit"),
            (&[], &["system/ImagingStudy.cruds"], None, "search view download store delete commit"),
            (&[], &["patient/ImagingStudy.rs"], Some("4711"), "search view download"),
            (&["clinician"], &["patient/ImagingStudy.rs"], None, ""),
            (&["clinician"], &["patient/ImagingStudy.rs"], Some(" "), ""),
            (&[], &["patient/ImagingStudy.rs?status=final"], Some("4711"), ""),
            (&[], &["patient/ImagingStudy.sr"], Some("4711"), ""),
        ] {
            assert_eq!(may(&permit(roles, scopes, patient)), expected, "{roles:?} {scopes:?} {patient:?}");
        }
        let of_patient = permit(&["viewer"], &["patient/*.rs"], Some("4711"));
        let filter = of_patient.reach(Action::View).filter().expect("a filter");
        assert_eq!(filter.any_of, [Alternative::of_patient("4711", None)]);
    }

    #[test]
    fn a_user_who_is_a_patient_sees_what_is_theirs() {
        let of = |fhir_user: &str, patient: Option<&str>| {
            roles().permit(&Identity {
                method: Method::Jwt { issuer: "i".to_owned() },
                roles: vec!["administrator".to_owned()],
                fhir_user: Some(fhir_user.to_owned()),
                patient: patient.map(str::to_owned),
                ..Identity::anonymous()
            })
        };
        let patient = of("https://fhir.example/Patient/p1", None);
        assert_eq!(may(&patient), "search view download versions");
        let filter = patient.reach(Action::View).filter().expect("a filter");
        assert_eq!(filter.any_of, [Alternative::of_patient("p1", None)]);
        // The Patient ID that the issuer names is not the id of the resource.
        let named = of("Patient/p1", Some("4711"));
        let filter = named.reach(Action::View).filter().expect("a filter");
        assert_eq!(filter.any_of, [Alternative::of_patient("4711", None)]);
        assert_eq!(*of("Practitioner/p1", None).reach(Action::View), Reach::Everything);
    }

    #[test]
    fn a_personal_token_may_no_more_than_its_owner() {
        let token = |scopes| of(Method::ApiToken { id: "1".to_owned() }, &["clinician"], scopes, None);
        for (scopes, expected) in [
            (&[][..], "search view download share deidentify"),
            (&["view", "delete"], "view"),
            (&["user/ImagingStudy.s", "share"], "search share"),
            (&["everything"], ""),
        ] {
            assert_eq!(may(&token(scopes)), expected, "{scopes:?}");
        }
        assert_eq!(may(&of(Method::Anonymous, &["administrator"], &[], None)), "");
        assert_eq!(may(&of(Method::Share { id: "1".to_owned() }, &["administrator"], &[], None)), "");
        assert!(of(Method::Off, &[], &[], None).allows(Action::Administer));
    }

    #[test]
    fn a_right_is_a_right_in_one_archive() {
        let north = Tenant::Named("north".into());
        let of = |roles: &[&str], scopes: &[&str], tenants: &[&str], tenant: &Tenant| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            may(&super::tests::roles().permit_in(
                &Identity {
                    method: Method::Jwt { issuer: "i".to_owned() },
                    roles: owned(roles),
                    scopes: owned(scopes),
                    tenants: owned(tenants),
                    ..Identity::anonymous()
                },
                tenant,
            ))
        };
        assert_eq!(of(&["viewer"], &[], &[], &north), "");
        assert_eq!(of(&["viewer"], &[], &["north"], &north), "search view");
        assert_eq!(of(&["viewer"], &[], &["north"], &Tenant::Root), "");
        assert_eq!(of(&["viewer"], &["user/*.s"], &["north"], &north), "search");
        assert_eq!(of(&[], &["system/*.c"], &["north"], &north), "store commit");
        assert_eq!(of(&[], &["system/*.c"], &["north"], &Tenant::Root), "");
        assert_eq!(of(&[], &["system/*.c"], &[], &north), "");
        assert!(of(&["administrator"], &[], &[], &north).contains("administer"));
        assert_eq!(of(&["administrator"], &[], &["south"], &north), "");
        assert_eq!(of(&["administrator"], &[], &["*"], &Tenant::Unknown), "");
        let off = |tenant| roles().permit_in(&Identity::local(), tenant);
        assert!(off(&north).allows(Action::Administer) && !off(&Tenant::Unknown).allows_anything());
    }

    #[test]
    fn roles_that_make_no_sense_are_told() {
        let mut config = Config::default().roles;
        let role =
            config::Role { allow: vec!["fly".to_owned()], ..config.values().next().expect("a role").clone() };
        config.insert("pilot".to_owned(), role);
        let error = Roles::new(&config).expect_err("no such action").to_string();
        assert!(error.contains("roles.pilot.allow") && error.contains("download"), "{error}");
    }
}
