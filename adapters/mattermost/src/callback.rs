//! What comes back through Mattermost from buttons and dialogs, and its seal.
//!
//! Mattermost signs nothing. A button's `context` is hidden from people, so a seal in it proves
//! that Mattermost's server sent the press; a dialog's `state` is not, and anybody who is logged in
//! can have the server send any dialog, so its seal names the person whom it was opened for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::FormPurpose;
use rave_domain::ports::surface::{Place, Privacy, SurfaceRejection};
use rave_domain::reply::{Button, Press};
use rave_domain::time::after;
use rave_domain::{RunId, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::Base;

/// A button works this long after its message was posted or edited. Shorter than requests are
/// remembered, so that a repeated press is known as one.
const BUTTON_LIVES: Duration = Duration::from_hours(30 * 24);

/// A dialog may stay open this long.
const DIALOG_LIVES: Duration = Duration::from_hours(12);

/// Longer states are none of Rave's: what was given with a command fits in.
const LONGEST_STATE: usize = 64 * 1024;

/// How buttons and dialogs come back.
#[derive(Clone)]
pub(crate) struct Callbacks {
    base: Base,
    seal: CallbackSeal,
}

/// Where a button is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) channel: &'a str,
    pub(crate) post: &'a str,
    /// The root of the post's thread.
    pub(crate) root: &'a str,
}

/// What stands in a button's `context`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    press: Press,
    run: String,
    root: String,
    /// In milliseconds since 1970.
    expires: i64,
    nonce: String,
    tag: String,
}

/// What stands in a dialog's `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) purpose: FormPurpose,
    /// Whom it was opened for.
    pub(crate) user: String,
    /// Where. What the client says at the end is the client's.
    pub(crate) channel: String,
    pub(crate) privacy: Privacy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    /// In milliseconds since 1970.
    expires: i64,
    pub(crate) nonce: String,
}

/// A press whose seal is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pressed {
    pub(crate) press: Press,
    pub(crate) run: RunId,
    pub(crate) root: String,
    pub(crate) nonce: String,
}

impl Callbacks {
    pub(crate) fn new(base: Base, seal: CallbackSeal) -> Self {
        Self { base, seal }
    }

    pub(crate) fn action_url(&self) -> Url {
        self.base.at(["chat", "mattermost", "action"])
    }

    pub(crate) fn dialog_url(&self) -> Url {
        self.base.at(["chat", "mattermost", "dialog"])
    }

    /// What a button under a post carries.
    pub(crate) fn context(
        &self,
        button: &Button,
        spot: Spot<'_>,
        now: Timestamp,
    ) -> Result<Context, String> {
        let mut context = Context {
            press: button.press,
            run: button.run.to_string(),
            root: spot.root.to_owned(),
            expires: after(now, BUTTON_LIVES).as_millisecond(),
            nonce: self.seal.nonce()?,
            tag: String::new(),
        };
        let expires = context.expires.to_string();
        context.tag = self.seal.tag(&context.parts(spot, &expires));
        Ok(context)
    }

    /// The press that a context stands for, under this post in this channel.
    pub(crate) fn pressed(
        &self,
        context: &Context,
        channel: &str,
        post: &str,
        now: Timestamp,
    ) -> Result<Pressed, SurfaceRejection> {
        let spot = Spot {
            channel,
            post,
            root: &context.root,
        };
        let expires = context.expires.to_string();
        if !self
            .seal
            .knows(&context.parts(spot, &expires), &context.tag)
        {
            return Err(forged("wrong seal"));
        }
        if now.as_millisecond() >= context.expires {
            return Err(forged("a button that is too old"));
        }
        Ok(Pressed {
            press: context.press,
            run: RunId::new(&context.run).map_err(|_| forged("no run"))?,
            root: context.root.clone(),
            nonce: context.nonce.clone(),
        })
    }

    /// What a dialog carries through the client.
    pub(crate) fn state(
        &self,
        purpose: &FormPurpose,
        user: &str,
        place: &Place,
        root: Option<&str>,
        now: Timestamp,
    ) -> Result<String, String> {
        let state = State {
            purpose: purpose.clone(),
            user: user.to_owned(),
            channel: place.channel.clone(),
            privacy: place.privacy,
            root: root.map(str::to_owned),
            expires: after(now, DIALOG_LIVES).as_millisecond(),
            nonce: self.seal.nonce()?,
        };
        let state = serde_json::to_vec(&state).map_err(|error| error.to_string())?;
        let state = URL_SAFE_NO_PAD.encode(state);
        let tag = self.seal.tag(&[DIALOG, &state]);
        Ok(format!("{state}.{tag}"))
    }

    /// What a dialog that this person sent off was opened for.
    pub(crate) fn opened(
        &self,
        state: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<State, SurfaceRejection> {
        if state.len() > LONGEST_STATE {
            return Err(forged("a state that is too long"));
        }
        let (state, tag) = state.rsplit_once('.').ok_or_else(|| forged("no seal"))?;
        if !self.seal.knows(&[DIALOG, state], tag) {
            return Err(forged("wrong seal"));
        }
        let state = URL_SAFE_NO_PAD
            .decode(state)
            .ok()
            .and_then(|state| serde_json::from_slice::<State>(&state).ok())
            .ok_or_else(|| forged("a state of another Rave"))?;
        if state.user != user {
            return Err(forged("somebody else's dialog"));
        }
        if now.as_millisecond() >= state.expires {
            return Err(forged("a dialog that is too old"));
        }
        Ok(state)
    }
}

/// What the tag of a button begins with, so that it is none of a dialog.
const ACTION: &str = "mattermost.action";

/// What the tag of a dialog begins with.
const DIALOG: &str = "mattermost.dialog";

impl Context {
    fn parts<'a>(&'a self, spot: Spot<'a>, expires: &'a str) -> [&'a str; 8] {
        [
            ACTION,
            self.press.command(),
            &self.run,
            spot.channel,
            spot.post,
            spot.root,
            expires,
            &self.nonce,
        ]
    }
}

fn forged(why: &'static str) -> SurfaceRejection {
    SurfaceRejection::NotAuthentic { why }
}
