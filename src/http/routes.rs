//! The whole route table. A straight recipe: one line a method of a resource,
//! the section of PS3.18 above each group. Whatever else is asked of a resource
//! is 405 with `Allow`, and a path that is none is 404.

use std::rc::Rc;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, Route, guard,
    web::{self, ServiceConfig},
};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    Problem, audit, auth, capabilities, commitment, conformance, deidentified, delete, health,
    openapi::{self, Document},
    qido, rendered, shares, stow, uploads, uri, versions, wado, zip,
};

/// The path of the table that a request is for, found once: whoever asks before
/// the request is routed has all paths tried, one after the other.
#[derive(Clone)]
struct Resource(Option<Rc<str>>);

/// The resource a request is for, as the table writes its path; none if it is
/// for no resource.
pub fn resource_of(request: &HttpRequest) -> Option<Rc<str>> {
    let found = request.extensions().get::<Resource>().cloned();
    let Resource(found) = found.unwrap_or_else(|| {
        let found = Resource(request.match_pattern().map(Rc::from));
        request.extensions_mut().insert(found.clone());
        found
    });
    found
}

/// GET, and HEAD as its mirror.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// What is left of a resource when none of its methods fits.
fn others(allow: &'static str) -> Route {
    web::route().to(move |request: HttpRequest| async move {
        if request.method() == actix_web::http::Method::OPTIONS {
            return Ok(HttpResponse::NoContent()
                .insert_header((actix_web::http::header::ALLOW, allow))
                .finish());
        }
        Err::<HttpResponse, Problem>(Problem::method_not_allowed(allow))
    })
}

const READ: &str = "GET, HEAD, OPTIONS";
const READ_DELETE: &str = "GET, HEAD, DELETE, OPTIONS";
const READ_STORE: &str = "GET, HEAD, POST, OPTIONS";
const ALL: &str = "GET, HEAD, POST, DELETE, OPTIONS";

#[rustfmt::skip]
pub fn routes(app: &mut ServiceConfig) {
    let resource = web::resource::<&str>;
    app
    // 8.9, 10.2 Capabilities
    .service(resource("/dicomweb").route(web::method(actix_web::http::Method::OPTIONS).to(capabilities::describe)).route(read().to(capabilities::describe)).default_service(others("GET, HEAD, OPTIONS")))
    // 10.4 Retrieve, 10.5 Store, 10.6 Search. They are tried in this order: first what viewers ask for without end
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}").route(read().to(wado::frames)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/count").route(read().to(qido::count_instances_of_series)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}").route(read().to(wado::instance)).route(web::delete().to(delete::instance)).default_service(others(READ_DELETE)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata").route(read().to(wado::instance_metadata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/metadata").route(read().to(wado::series_metadata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies").route(read().to(qido::studies)).route(web::post().to(stow::studies)).default_service(others(READ_STORE)))
    .service(resource("/dicomweb/patients").route(read().to(qido::patients)).default_service(others(READ)))
    .service(resource("/dicomweb/patients/count").route(read().to(qido::count_patients)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/count").route(read().to(qido::count_studies)).default_service(others(READ)))
    .service(resource("/dicomweb/series").route(read().to(qido::series)).default_service(others(READ)))
    .service(resource("/dicomweb/series/count").route(read().to(qido::count_series)).default_service(others(READ)))
    .service(resource("/dicomweb/instances").route(read().to(qido::instances)).default_service(others(READ)))
    .service(resource("/dicomweb/instances/count").route(read().to(qido::count_instances)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}").route(read().to(wado::study)).route(web::post().to(stow::study)).route(web::delete().to(delete::study)).default_service(others(ALL)))
    .service(resource("/dicomweb/studies/{study}/metadata").route(read().to(wado::study_metadata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/bulkdata").route(read().to(wado::study_bulkdata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/pixeldata").route(read().to(wado::study_pixel_data)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series").route(read().to(qido::series_of_study)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/count").route(read().to(qido::count_series_of_study)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/instances").route(read().to(qido::instances_of_study)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/instances/count").route(read().to(qido::count_instances_of_study)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}").route(read().to(wado::series)).route(web::delete().to(delete::series)).default_service(others(READ_DELETE)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/bulkdata").route(read().to(wado::series_bulkdata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/pixeldata").route(read().to(wado::series_pixel_data)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances").route(read().to(qido::instances_of_series)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata").route(read().to(wado::instance_bulkdata)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/pixeldata").route(read().to(wado::instance_pixel_data)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata/{bulkdata}").route(read().to(wado::bulkdata)).default_service(others(READ)))
    // 10.4.1.1.3 Rendered, 10.4.1.1.4 Thumbnail
    .service(resource("/dicomweb/studies/{study}/rendered").route(read().to(rendered::study)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/thumbnail").route(read().to(rendered::study_thumbnail)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/rendered").route(read().to(rendered::series)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/thumbnail").route(read().to(rendered::series_thumbnail)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered").route(read().to(rendered::instance)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail").route(read().to(rendered::instance_thumbnail)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered").route(read().to(rendered::frames)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail").route(read().to(rendered::frames_thumbnail)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered/{frames}").route(read().to(rendered::frame_alias)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail/{frames}").route(read().to(rendered::thumbnail_alias)).default_service(others(READ)))
    // 13 Storage Commitment
    .service(resource("/dicomweb/commitment-requests/{transaction}").route(read().to(commitment::result)).route(web::post().to(commitment::request)).default_service(others(READ_STORE)))
    // Versions (not in PS3.18)
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions").route(read().to(versions::list)).default_service(others(READ)))
    .service(resource("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions/{version}").route(read().to(versions::retrieve)).default_service(others(READ)))
    // De-identified copies (PS3.15 annex E; not in PS3.18)
    .service(resource("/dicomweb/studies/{study}/deidentified").route(web::post().to(deidentified::make)).default_service(others("POST, OPTIONS")))
    // 9 URI service
    .service(resource("/dicomweb/wado").route(read().to(uri::service)).default_service(others(READ)))
    .service(resource("/wado").route(read().to(uri::at_root)).default_service(others(READ)))
    // Zip files of a list
    .service(resource("/dicomweb/zip").route(read().to(zip::list::get)).route(web::post().to(zip::list::post)).default_service(others(READ_STORE)))
    // Resumable uploads: tus 1.0.0
    .service(resource("/uploads").wrap(uploads::headers()).route(web::method(actix_web::http::Method::OPTIONS).to(uploads::options)).route(web::post().to(uploads::begin)).default_service(others("POST, OPTIONS")))
    .service(resource("/uploads/{upload}").wrap(uploads::headers()).route(web::head().to(uploads::offset)).route(web::get().to(uploads::result)).route(web::patch().to(uploads::patch)).route(web::delete().to(uploads::end)).route(web::post().to(uploads::instead)).default_service(others("GET, HEAD, PATCH, DELETE, POST, OPTIONS")))
    // Audit
    .service(resource("/audit").route(read().to(audit::search)).default_service(others(READ)))
    // Authentication
    .service(resource("/.well-known/smart-configuration").route(read().to(auth::smart::configuration)).default_service(others(READ)))
    .service(resource("/auth/login").route(read().to(auth::login::get)).route(web::post().to(auth::login::post)).default_service(others(READ_STORE)))
    .service(resource("/auth/callback").route(web::get().to(auth::oidc::callback)).default_service(others("GET, OPTIONS")))
    .service(resource("/auth/logout").route(web::post().to(auth::session::logout)).default_service(others("POST, OPTIONS")))
    .service(resource("/auth/password").route(web::post().to(auth::session::change_password)).default_service(others("POST, OPTIONS")))
    .service(resource("/auth/session").route(read().to(auth::session::whoami)).default_service(others(READ)))
    .service(resource("/auth/tokens").route(read().to(auth::tokens::list)).route(web::post().to(auth::tokens::make)).default_service(others(READ_STORE)))
    .service(resource("/auth/tokens/{token}").route(web::delete().to(auth::tokens::revoke)).default_service(others("DELETE, OPTIONS")))
    // Links to studies
    .service(resource("/shares").route(read().to(shares::list)).route(web::post().to(shares::make)).default_service(others(READ_STORE)))
    .service(resource("/shares/{share}").route(web::delete().to(shares::revoke)).default_service(others("DELETE, OPTIONS")))
    .service(resource("/shared/{link}").route(read().to(shares::shared::show)).route(web::post().to(shares::shared::open)).default_service(others(READ_STORE)))
    .service(resource("/shared/{link}/viewer.json").route(read().to(shares::shared::viewer_configuration)).default_service(others(READ)))
    // Operation
    .service(resource("/healthz").route(read().to(health::healthz)).default_service(others(READ)))
    .service(resource("/readyz").route(read().to(health::readyz)).default_service(others(READ)))
    .service(resource("/metrics").route(read().to(health::metrics)).default_service(others(READ)))
    .service(resource("/conformance").route(read().to(conformance::document)).default_service(others(READ)))
    .service(resource("/openapi.json").route(read().to(openapi::document)).default_service(others(READ)))
    .service(resource("/").route(read().to(openapi::to_docs)).default_service(others(READ)))
    .service(resource("/docs").route(read().to(openapi::to_docs)).default_service(others(READ)))
    .service(SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", Document::openapi()).config(Config::from("/openapi.json")))
    .default_service(web::route().to(|| async { Err::<HttpResponse, Problem>(Problem::no_such_route()) }));
}
