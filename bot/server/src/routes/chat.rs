//! What all chat vendors' endpoints do: bound, verify, and give the event to the engine.
//!
//! Size, proof, person, rate, engine: for a command that only reads, nothing on this way touches
//! a disk or waits for a run's lock.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{StatusCode, Uri};
use rave_domain::ports::surface::{
    Act, ActKind, Answer, ChatHandler, ChatReply, ChatSurface, HttpAnswer, Incoming, RawRequest,
    SurfaceRejection, VerifiedEvent,
};
use rave_domain::reply::Reply;
use rave_domain::{ErrorCode, Timestamp, UserError};
use rave_engine::api::{Caller, Refusal};

use crate::admission::{client_address, details};
use crate::body;
use crate::error::ApiError;
use crate::limits::TooMany;
use crate::state::Server;

/// The endpoints of the chat vendors; one that is not configured does not exist.
#[derive(Default)]
pub struct ChatEndpoints {
    /// `/chat/mattermost/command`
    pub mattermost_command: Option<Arc<dyn ChatSurface>>,
    /// `/chat/mattermost/action`
    pub mattermost_action: Option<Arc<dyn ChatSurface>>,
    /// `/chat/mattermost/dialog`
    pub mattermost_dialog: Option<Arc<dyn ChatSurface>>,
    /// `/chat/slack/command`
    pub slack_command: Option<Arc<dyn ChatSurface>>,
    /// `/chat/slack/interaction`
    pub slack_interaction: Option<Arc<dyn ChatSurface>>,
    /// `/chat/slack/event`
    pub slack_event: Option<Arc<dyn ChatSurface>>,
    /// `/chat/discord/interaction`
    pub discord_interaction: Option<Arc<dyn ChatSurface>>,
}

/// One request of a chat vendor to its answer.
pub(crate) async fn chat(
    server: &Server,
    surface: Option<&Arc<dyn ChatSurface>>,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(surface) = surface else {
        return Err(ApiError::not_found(request.uri().path()));
    };
    let address = client_address(&request);
    let (parts, body) = request.into_parts();
    let raw = RawRequest {
        headers: parts.headers,
        body: body::read(body, server.body_limits()).await?,
    };
    let now = server.engine().now();
    let event = match surface.verify(&raw, now) {
        Ok(Incoming::Event(event)) => event,
        Ok(Incoming::Answered(answer)) => return Ok(answered(answer)),
        Err(rejection) => {
            if let SurfaceRejection::NotAuthentic { why } = rejection {
                forged(server, surface.as_ref(), address, parts.uri.path(), why);
            }
            return Ok(answered(surface.refuse(&rejection)));
        }
    };
    let to = event.act.kind();
    let mut handled = Box::pin(handle(server.clone(), address, parts.uri, event));
    let (event, answer) = match surface.defers_after() {
        None => handled.await,
        Some(patience) => tokio::select! {
            biased;
            handled = &mut handled => handled,
            () = tokio::time::sleep(patience) => {
                tokio::spawn(afterwards(Arc::clone(surface), handled));
                return Ok(answered(surface.deferral(to)));
            }
        },
    };
    let answer = match answer {
        Answer::Reply(reply) => told(surface, event, reply),
        Answer::Form { form, instead } => {
            match surface
                .open_form(&event, &form, server.engine().now())
                .await
            {
                Ok(answer) => answer,
                Err(fault) => {
                    tracing::info!(why = fault.why, "form_not_opened");
                    told(surface, event, instead)
                }
            }
        }
        Answer::FieldErrors(errors) => surface.field_errors(&errors),
        Answer::Choices(choices) => surface.choices(&choices),
    };
    Ok(answered(answer))
}

/// An event to its answer, as something that goes on when nobody waits for it any more.
async fn handle(
    server: Server,
    address: Option<IpAddr>,
    uri: Uri,
    event: Box<VerifiedEvent>,
) -> (Box<VerifiedEvent>, Answer) {
    let answer = reply(&server, address, uri.path(), &event).await;
    (event, answer)
}

/// Tells the answer to an event that was deferred.
async fn afterwards(
    surface: Arc<dyn ChatSurface>,
    handled: impl Future<Output = (Box<VerifiedEvent>, Answer)>,
) {
    let (event, answer) = handled.await;
    if let Some(reply) = answer.afterwards() {
        surface.say(&event, reply.content()).await;
    }
}

/// The reply as the answer to an event. Where the vendor does not show that, it is said beside it.
fn told(
    surface: &Arc<dyn ChatSurface>,
    event: Box<VerifiedEvent>,
    reply: Arc<ChatReply>,
) -> HttpAnswer {
    let to = event.act.kind();
    let answer = reply.on(surface.as_ref(), to);
    if !surface.shows(to, reply.content()) {
        let surface = Arc::clone(surface);
        tokio::spawn(async move { surface.say(&event, reply.content()).await });
    }
    answer
}

/// Takes the events of connections that adapters keep to their vendors.
#[derive(Clone)]
pub struct ListenerHandler {
    server: Server,
    name: &'static str,
}

impl ListenerHandler {
    /// For the listener of this name, which audit rows of refusals get as their target.
    #[must_use]
    pub const fn new(server: Server, name: &'static str) -> Self {
        Self { server, name }
    }
}

#[async_trait]
impl ChatHandler for ListenerHandler {
    async fn handle(&self, event: &VerifiedEvent) -> Answer {
        reply(&self.server, None, self.name, event).await
    }

    fn now(&self) -> Timestamp {
        self.server.engine().now()
    }
}

async fn reply(
    server: &Server,
    address: Option<IpAddr>,
    path: &str,
    event: &VerifiedEvent,
) -> Answer {
    let Some(person) = server.engine().person_of(&event.account) else {
        return match introduced(server, event).await {
            Some(answer) => answer,
            None => stranger(server, address, path, event),
        };
    };
    let caller = Caller {
        person,
        account: event.account.clone(),
        strength: event.strength,
        address,
        endpoint: None,
        place: Some(event.place.clone()),
    };
    // What is asked for while somebody types comes with every key.
    if event.act.kind() != ActKind::Complete {
        let limits = server.limits();
        if let Err(too_many) = limits.person(&caller.person.id) {
            server.over_the_limit(&caller, path);
            return slow_down(limits.person_refusal(), too_many);
        }
        let surface = event.account.surface;
        if let Err(too_many) = limits.channel(surface, &event.place.channel) {
            server.over_the_limit(&caller, path);
            return slow_down(limits.channel_refusal(), too_many);
        }
    }
    server.engine().chat(caller, event).await
}

/// An account that gives a code of `/rave link`.
async fn introduced(server: &Server, event: &VerifiedEvent) -> Option<Answer> {
    let engine = server.engine();
    let code = engine.introduction(event)?;
    let limits = server.limits();
    if let Err(too_many) = limits.stranger(&event.account) {
        return Some(slow_down(limits.person_refusal(), too_many));
    }
    Some(engine.introduce(&event.account, &code).await)
}

fn slow_down(refusal: String, too_many: TooMany) -> Answer {
    let seconds = too_many.wait.as_secs() + 1;
    let refused =
        UserError::new(ErrorCode::RateLimited, refusal).hint(format!("try again in {seconds} s"));
    Answer::reply(Reply::error(&refused))
}

fn forged(
    server: &Server,
    surface: &dyn ChatSurface,
    address: Option<IpAddr>,
    path: &str,
    why: &'static str,
) {
    server.engine().count_auth_failure("bad_signature");
    let refusal = server.refusal("signature.refused", surface.surface(), address, path);
    server.engine().refused(Refusal {
        alert: "Authentication failure",
        details: details([("why", why)]),
        ..refusal
    });
}

fn stranger(server: &Server, address: Option<IpAddr>, path: &str, event: &VerifiedEvent) -> Answer {
    if matches!(event.act, Act::Complete { .. }) {
        return Answer::Choices(Vec::new());
    }
    let refusal = server.refusal("account.unknown", event.account.surface, address, path);
    server.engine().refused(Refusal {
        account: Some(event.account.clone()),
        ..refusal
    });
    let account = &event.account;
    Answer::reply(Reply::error(
        &UserError::new(
            ErrorCode::UnknownAccount,
            format!("Rave does not know the account {account}"),
        )
        .hint(format!(
            "`/rave link` on an account that Rave knows gives you a code for this one, or an \
             administrator adds it to a person: `accounts = {{ {} = \"{}\" }}`",
            account.surface, account.id
        )),
    ))
}

fn answered(answer: HttpAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(answer.content_type);
    (status, [(CONTENT_TYPE, kind)], answer.body).into_response()
}
