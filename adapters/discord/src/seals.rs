//! What stands in the `custom_id` of a button or a modal: everything it means, sealed, in at most
//! 100 characters ("Component Object": `custom_id`).
//!
//! A `custom_id` is visible to clients and comes back in an interaction that Discord has signed.
//! The seal says that Rave made it: for this application, for this run, until this time, and in a
//! form for this person.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::callback::CallbackSeal;
use rave_domain::form::FormPurpose;
use rave_domain::ids::RunId;
use rave_domain::reply::Press;
use rave_domain::time::after;

use crate::config::Snowflake;

/// A message's buttons are made anew with every edit; the last ones stand until the run is of no
/// interest any more.
const BUTTON_LIVES: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A form that was left open for longer is opened again.
const FORM_LIVES: Duration = Duration::from_secs(60 * 60);

/// Characters of a `custom_id`.
pub(crate) const LONGEST: usize = 100;

/// Makes `custom_id`s and reads them again.
pub(crate) struct Seals {
    seal: CallbackSeal,
    application: Snowflake,
    /// The newest time, in seconds, at which anything came in: answers are made without a clock.
    latest: AtomicI64,
}

/// What a button stands for, or why it stands for nothing.
pub(crate) type Read<T> = Result<T, &'static str>;

impl Seals {
    pub(crate) const fn new(seal: CallbackSeal, application: Snowflake) -> Self {
        Self {
            seal,
            application,
            latest: AtomicI64::new(0),
        }
    }

    /// Takes note of the time at which something came in.
    pub(crate) fn saw(&self, now: Timestamp) {
        self.latest.fetch_max(now.as_second(), Ordering::Relaxed);
    }

    /// The newest time at which something came in.
    pub(crate) fn latest(&self) -> Timestamp {
        Timestamp::from_second(self.latest.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// A button's `custom_id`; `None` when the system has no random bytes.
    pub(crate) fn button(&self, press: Press, run: &RunId, now: Timestamp) -> Option<String> {
        self.sealed('b', letter(press), run, "", after(now, BUTTON_LIVES))
    }

    /// What a pressed button does.
    pub(crate) fn pressed(&self, custom_id: &str, now: Timestamp) -> Read<(Press, RunId)> {
        let (what, run) = self.opened('b', custom_id, "", now)?;
        Ok((press(what).ok_or(FOREIGN)?, run))
    }

    /// A modal's `custom_id` for one person; `None` for what has no form here, and when the system
    /// has no random bytes.
    pub(crate) fn form(&self, purpose: &FormPurpose, user: &str, now: Timestamp) -> Option<String> {
        let (what, run) = match purpose {
            FormPurpose::Deny { run } => ('d', run),
            FormPurpose::Approve { run } => ('a', run),
            FormPurpose::Run { .. } => return None,
        };
        self.sealed('f', what, run, user, after(now, FORM_LIVES))
    }

    /// What a modal that this person sent off was opened for.
    pub(crate) fn submitted(
        &self,
        custom_id: &str,
        user: &str,
        now: Timestamp,
    ) -> Read<FormPurpose> {
        match self.opened('f', custom_id, user, now)? {
            ('d', run) => Ok(FormPurpose::Deny { run }),
            ('a', run) => Ok(FormPurpose::Approve { run }),
            _ => Err(FOREIGN),
        }
    }

    fn sealed(
        &self,
        kind: char,
        what: char,
        run: &RunId,
        user: &str,
        until: Timestamp,
    ) -> Option<String> {
        let nonce = match self.seal.nonce() {
            Ok(nonce) => nonce,
            Err(why) => {
                tracing::error!(why, "custom_id_not_made");
                return None;
            }
        };
        let open = format!("{kind}1.{what}.{run}.{}.{nonce}", until.as_second());
        let tag = self.tag(&open, user);
        Some(format!("{open}.{tag}"))
    }

    fn tag(&self, open: &str, user: &str) -> String {
        let application = self.application.to_string();
        self.seal.tag(&["discord", &application, user, open])
    }

    fn opened(
        &self,
        kind: char,
        custom_id: &str,
        user: &str,
        now: Timestamp,
    ) -> Read<(char, RunId)> {
        let (open, tag) = custom_id.rsplit_once('.').ok_or(FOREIGN)?;
        let application = self.application.to_string();
        if !self.seal.knows(&["discord", &application, user, open], tag) {
            return Err(FOREIGN);
        }
        let mut parts = open.split('.');
        let version = parts.next().ok_or(FOREIGN)?;
        if version.strip_prefix(kind) != Some("1") {
            return Err(FOREIGN);
        }
        let what = parts.next().and_then(|what| what.chars().next());
        let run = parts.next().and_then(|run| RunId::new(run).ok());
        let until: Option<i64> = parts.next().and_then(|until| until.parse().ok());
        if until.ok_or(FOREIGN)? < now.as_second() {
            return Err(TOO_OLD);
        }
        Ok((what.ok_or(FOREIGN)?, run.ok_or(FOREIGN)?))
    }
}

const FOREIGN: &str = "this was not made by this Rave, or before its key was changed";
const TOO_OLD: &str = "this is too old to be used; type the command instead";

const fn letter(press: Press) -> char {
    match press {
        Press::Approve => 'a',
        Press::Deny => 'd',
        Press::Cancel => 'c',
        Press::Retry => 'r',
        Press::ShowLog => 'l',
    }
}

const fn press(letter: char) -> Option<Press> {
    Some(match letter {
        'a' => Press::Approve,
        'd' => Press::Deny,
        'c' => Press::Cancel,
        'r' => Press::Retry,
        'l' => Press::ShowLog,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seals(key: u8, application: &str) -> Seals {
        let seal = CallbackSeal::new(&[key; 32], |bytes| {
            bytes.fill(7);
            Ok(())
        });
        Seals::new(seal, application.parse().unwrap())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_button_means_what_it_was_made_for_and_nothing_else() {
        let run = RunId::new(format!("run_{}", "Z".repeat(40))).unwrap();
        let now = at(1_800_000_000);
        for press in [
            Press::Approve,
            Press::Deny,
            Press::Cancel,
            Press::Retry,
            Press::ShowLog,
        ] {
            let id = seals(1, "1").button(press, &run, now).unwrap();
            assert!(id.len() <= LONGEST, "{id}: {}", id.len());
            assert_eq!(seals(1, "1").pressed(&id, now), Ok((press, run.clone())));
            assert_eq!(seals(2, "1").pressed(&id, now), Err(FOREIGN));
            assert_eq!(seals(1, "2").pressed(&id, now), Err(FOREIGN));
            let late = after(now, BUTTON_LIVES + Duration::from_secs(1));
            assert_eq!(seals(1, "1").pressed(&id, late), Err(TOO_OLD));
            assert_eq!(seals(1, "1").submitted(&id, "", now), Err(FOREIGN));
        }
        let id = seals(1, "1").button(Press::Cancel, &run, now).unwrap();
        for forged in [
            id.replace(".c.", ".a."),
            id.replace("run_Z", "run_Y"),
            id.replace("b1", "f1"),
            id[..id.len() - 1].to_owned(),
            format!("{id}A"),
            "approve".to_owned(),
            String::new(),
        ] {
            assert_eq!(
                seals(1, "1").pressed(&forged, now),
                Err(FOREIGN),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_form_is_for_one_person() {
        let run = RunId::new("run_0001").unwrap();
        let now = at(1_800_000_000);
        let seals = seals(1, "1");
        for purpose in [
            FormPurpose::Deny { run: run.clone() },
            FormPurpose::Approve { run },
        ] {
            let id = seals.form(&purpose, "42", now).unwrap();
            assert!(id.len() <= LONGEST);
            assert_eq!(seals.submitted(&id, "42", now), Ok(purpose));
            assert_eq!(seals.submitted(&id, "43", now), Err(FOREIGN));
            assert_eq!(seals.pressed(&id, now), Err(FOREIGN));
            let late = after(now, FORM_LIVES + Duration::from_secs(1));
            assert_eq!(seals.submitted(&id, "42", late), Err(TOO_OLD));
        }
    }
}
