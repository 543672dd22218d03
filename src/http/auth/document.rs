//! How one authenticates, for the OpenAPI document: the schemes, which
//! operations are open to everybody, and the refusal that all others know.

use utoipa::{
    Modify,
    openapi::{
        ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::PathItem,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::http::access::{self, Needs};

pub struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A personal token (hilum_…) or a JWT of a configured issuer"))
            .build();
        let description = "Of a session, from /auth/login. Over plain HTTP on loopback it is named hilum";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("__Host-hilum", description));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        let either = ["bearer", "session"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
        document.security = Some(either.to_vec());
        for (path, item) in &mut document.paths.paths {
            each(item, |method, operation| {
                if access::needs(path, method) == Some(Needs::Nothing) {
                    operation.security = Some(Vec::new());
                    return;
                }
                let responses = &mut operation.responses.responses;
                responses.entry("401".to_owned()).or_insert_with(refusal);
            });
        }
    }
}

fn each(item: &mut PathItem, change: impl Fn(&str, &mut utoipa::openapi::path::Operation)) {
    let operations = [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("OPTIONS", &mut item.options),
        ("HEAD", &mut item.head),
        ("PATCH", &mut item.patch),
        ("TRACE", &mut item.trace),
    ];
    for (method, operation) in operations {
        if let Some(operation) = operation {
            change(method, operation);
        }
    }
}

fn refusal() -> RefOr<utoipa::openapi::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
    RefOr::T(
        ResponseBuilder::new()
            .description("Authentication is on, and no valid credentials were shown")
            .content("application/problem+json", content)
            .build(),
    )
}
