//! The OpenAPI document: what the route table does not say by itself.
//!
//! Every route is documented at its handler, and the document is made of the same table as the
//! router, so there is no route without its documentation. Errors come out of the table of codes.

use std::collections::BTreeMap;

use rave_domain::ErrorCode;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApi, OpenApiBuilder, Ref, RefOr, Required, Schema, Type,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use crate::error::ErrorBody;
use crate::router;
use crate::routes::Answer;
use crate::routes::events::RunEvent;

/// The name of an error's schema.
const ERROR: &str = "Error";

const ABOUT: &str = "Rave runs reviewed intents on real machines for people and programs that \
    may ask for them, and keeps what it does through every crash.\n\n\
    Send a key as `X-API-Key` or a token as `Authorization: Bearer`. Every answer has its \
    request's id in `X-Request-Id`. Repeat a request that changes something with the same \
    `Idempotency-Key` and it is done once. Fields that Rave does not know are refused.";

const TAGS: [(&str, &str); 6] = [
    ("runs", "Runs: ask for them, watch them, decide on them."),
    (
        "operations",
        "What may be asked for, what is locked, what has happened.",
    ),
    (
        "chatops",
        "For clients of the ChatOps Microservice, with its fields and its words.",
    ),
    ("health", "Whether Rave is well. No key is needed."),
    (
        "chat",
        "For chat servers, which prove who they are in their own way.",
    ),
    ("reference", "This document."),
];

/// The document as it is committed and served: `docs/openapi.json`.
#[must_use]
pub fn openapi() -> String {
    let mut document = router::documented().into_openapi();
    drop_nulls(&mut document);
    refuse_unknown_fields(&mut document);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// What the document says apart from its paths.
pub(crate) fn frame() -> OpenApi {
    // These two stand in no answer by themselves.
    let mut schemas = vec![
        (ERROR.to_owned(), Answer::<ErrorBody>::schema()),
        (ErrorBody::name().into_owned(), ErrorBody::schema()),
        (RunEvent::name().into_owned(), RunEvent::schema()),
    ];
    ErrorBody::schemas(&mut schemas);
    RunEvent::schemas(&mut schemas);
    let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = schemas
        .into_iter()
        .fold(ComponentsBuilder::new(), |all, (name, schema)| {
            all.schema(name, schema)
        })
        .security_scheme("key", SecurityScheme::ApiKey(key))
        .security_scheme("token", SecurityScheme::Http(bearer))
        .build();
    let license = LicenseBuilder::new().name("MIT").identifier(Some("MIT"));
    let info = InfoBuilder::new()
        .title("Rave")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    let tags = TAGS.map(|(name, what)| {
        let tag = TagBuilder::new().name(name).description(Some(what));
        tag.build()
    });
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components))
        .tags(Some(tags))
        .build()
}

/// Says of every JSON body what `fields` does: keys that nobody knows are refused.
fn refuse_unknown_fields(document: &mut OpenApi) {
    let items = document.paths.paths.values();
    let bodies = items
        .filter_map(|item| item.post.as_ref())
        .filter_map(|post| post.request_body.as_ref());
    let names: Vec<String> = bodies.filter_map(json_schema_of).collect();
    let Some(components) = &mut document.components else {
        return;
    };
    for name in names {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name) {
            let none = AdditionalProperties::FreeForm(false);
            object.additional_properties = Some(Box::new(none));
        }
    }
}

/// Parameters and bodies are there or not; unlike fields they are never null.
fn drop_nulls(document: &mut OpenApi) {
    let items = document.paths.paths.values_mut();
    let operations = items.flat_map(|item| [item.get.as_mut(), item.post.as_mut()]);
    for operation in operations.flatten() {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && let Some(schema) = &mut parameter.schema
            {
                drop_null(schema);
            }
        }
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            for content in body.content.values_mut() {
                if let RefOr::T(content) = content
                    && let Some(schema) = &mut content.schema
                {
                    drop_null(schema);
                }
            }
        }
    }
}

fn drop_null(schema: &mut RefOr<Schema>) {
    let is_null = |one: &RefOr<Schema>| match one {
        RefOr::T(Schema::Object(object)) => object.schema_type == SchemaType::Type(Type::Null),
        RefOr::T(_) | RefOr::Ref(_) => false,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|one| *one != Type::Null);
            }
        }
        RefOr::T(Schema::OneOf(either)) => {
            either.items.retain(|one| !is_null(one));
            if let [only] = either.items.as_slice() {
                *schema = only.clone();
            }
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

/// The name of the schema of a body that is JSON.
fn json_schema_of(body: &RefOr<RequestBody>) -> Option<String> {
    let RefOr::T(body) = body else { return None };
    let RefOr::T(content) = body.content.get("application/json")? else {
        return None;
    };
    let Some(RefOr::Ref(to)) = &content.schema else {
        return None;
    };
    to.ref_location.rsplit('/').next().map(str::to_owned)
}

/// The run that a path names.
pub(crate) struct RunInPath;

impl IntoParams for RunInPath {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let run = ParameterBuilder::new()
            .name("run")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("The run's id: `run_…`."))
            .schema(Some(text));
        vec![run.build()]
    }
}

/// The header by which a repeat of a change is told from another one.
pub(crate) struct IdempotencyKey;

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some(r"^[!-~]([\t -~]*[!-~])?$"));
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "A repeat with the same key gets the first answer and does nothing.",
            ))
            .schema(Some(text));
        vec![key.build()]
    }
}

/// Answers for error codes, by status.
fn refusals(codes: &[ErrorCode]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let status = by_status.entry(code.http_status()).or_default();
        status.push(code.as_str());
    }
    if codes.contains(&ErrorCode::BodyTooLarge) {
        // A body that did not arrive in time.
        by_status.insert(408, vec![ErrorCode::BadRequest.as_str()]);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(refusal(status, &codes))))
        .collect()
}

fn refusal(status: u16, codes: &[&str]) -> Response {
    let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let schema = Ref::from_schema_name(ERROR);
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let mut response = ResponseBuilder::new()
        .description(codes.join(", "))
        .content("application/json", content);
    if status == ErrorCode::RateLimited.http_status() {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("Seconds until the next request is welcome."));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

/// Declares what an endpoint refuses, for its `responses(…)`.
macro_rules! refusals {
    ($($(#[$what:meta])* $name:ident = $($code:ident),+;)*) => {
        $(
            $(#[$what])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    refusals(&[$(ErrorCode::$code),+])
                }
            }
        )*
    };
}

refusals! {
    /// An endpoint that needs a key only when `public_reads` is off.
    PublicRefusals = Unauthorized, AddressRefused, Internal, NotConfigured, StoreUnavailable;
    /// As before, and it takes a body.
    PublicBodyRefusals = BadRequest, Unauthorized, AddressRefused, BodyTooLarge,
        UnsupportedMediaType, InvalidBody, Internal, NotConfigured, StoreUnavailable;
    /// A list.
    ListRefusals = InvalidArgument, Unauthorized, AddressRefused, PolicyDenied, Internal,
        NotConfigured, StoreUnavailable;
    /// One run, or something of it.
    RunRefusals = InvalidArgument, Unauthorized, AddressRefused, UnknownRun, UnknownStep, NotFound,
        Internal, NotConfigured, StoreUnavailable;
    /// A request for runs.
    AskRefusals = BadRequest, InvalidArgument, MissingField, Unauthorized, AddressRefused,
        PolicyDenied, LabelMismatch, UnknownIntent, Frozen, KeyReused, WrongState, RunCancelled,
        PlanChanged, BodyTooLarge, UnsupportedMediaType, InvalidBody, RateLimited, CommandFailed,
        StepTimeout, OutcomeUnknown, TargetMissing, Internal, DriverUnavailable, NotConfigured,
        Stopping, StoreUnavailable;
    /// A change of a run.
    ChangeRefusals = BadRequest, InvalidArgument, MissingField, Unauthorized, AddressRefused,
        PolicyDenied, LabelMismatch, ApprovalRefused, TooWeak, UnknownRun, UnknownStep,
        UnknownIntent, NotFound, Frozen, KeyReused, WrongState, PlanChanged, BodyTooLarge,
        UnsupportedMediaType, InvalidBody, RateLimited, TargetMissing, Internal,
        DriverUnavailable, NotConfigured, Stopping, StoreUnavailable;
    /// A reload.
    ReloadRefusals = BadRequest, Unauthorized, AddressRefused, PolicyDenied, KeyReused,
        BodyTooLarge, UnsupportedMediaType, CatalogInvalid, RateLimited, Internal, NotConfigured,
        Stopping, StoreUnavailable;
    /// A chat server's message.
    ChatRefusals = BadRequest, NotFound, BodyTooLarge, Internal, StoreUnavailable;
}
