//! Who somebody is: accounts that people link themselves, and the second factor.
//!
//! An account becomes somebody's when its owner gives a code there that only that person was
//! shown, on an account that Rave knows already: both ends are proven by their own surface. Codes
//! of a link live in memory, because nothing is lost with them but ten minutes; what they made is
//! in the store. Nothing of this takes the way through the inbox, which keeps what was written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rave_domain::audit::{AuditEntry, AuditResult, Category, Severity};
use rave_domain::ids::{Digest, PersonId};
use rave_domain::people::{Account, Person};
use rave_domain::ports::store::{TotpRow, Write};
use rave_domain::reply::{Block, Reply, Tone};
use rave_domain::request::Identity;
use rave_domain::time::{Timestamp, after};
use rave_domain::{ErrorCode, Surface, UserError};
use secrecy::ExposeSecret as _;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::api::Caller;
use crate::journal::store_error;
use crate::shared::{Shared, lock};

/// How long a code of a link is good.
const CODE_LIVES: Duration = Duration::from_mins(10);

/// Wrong codes from one source before none is looked at any more.
const WRONG_CODES: u32 = 5;

/// How long that lasts.
const LOCKED_OUT: Duration = Duration::from_mins(15);

/// Sources and codes remembered at once, at most.
const MOST: usize = 10_000;

/// What is known of identities besides the configuration.
#[derive(Default)]
pub(crate) struct Identities {
    linked: Mutex<BTreeMap<Account, PersonId>>,
    /// Codes of links by their keyed hash.
    codes: Mutex<BTreeMap<Digest, LinkCode>>,
    /// Secrets that were shown and not confirmed yet.
    enrolling: Mutex<BTreeMap<PersonId, Enrolling>>,
    wrong: Mutex<BTreeMap<String, Wrong>>,
    /// Held from reading which codes are spent to spending one.
    spending: tokio::sync::Mutex<()>,
}

struct LinkCode {
    person: PersonId,
    until: Timestamp,
}

struct Enrolling {
    sealed: Vec<u8>,
    until: Timestamp,
}

#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    until: Timestamp,
}

impl Identities {
    /// Takes over what the store holds.
    pub(crate) fn load(&self, accounts: Vec<(Account, PersonId)>) {
        *lock(&self.linked) = accounts.into_iter().collect();
    }

    /// Who has linked this account.
    pub(crate) fn linked(&self, account: &Account) -> Option<PersonId> {
        lock(&self.linked).get(account).cloned()
    }

    fn take_code(&self, hash: &Digest, now: Timestamp) -> Option<PersonId> {
        let mut codes = lock(&self.codes);
        codes.retain(|_, code| is_ahead(code.until, now, CODE_LIVES));
        codes.remove(hash).map(|code| code.person)
    }

    /// Whether a source may try a code.
    fn may_try(&self, source: &str, now: Timestamp) -> bool {
        let mut wrong = lock(&self.wrong);
        wrong.retain(|_, wrong| is_ahead(wrong.until, now, LOCKED_OUT));
        // Somebody who has filled the list has tried more than people do.
        wrong.len() < MOST
            && wrong
                .get(source)
                .is_none_or(|wrong| wrong.count < WRONG_CODES)
    }

    fn was_wrong(&self, source: String, now: Timestamp) {
        let until = after(now, LOCKED_OUT);
        let mut wrong = lock(&self.wrong);
        let wrong = wrong.entry(source).or_insert(Wrong { count: 0, until });
        *wrong = Wrong {
            count: wrong.count + 1,
            until,
        };
    }
}

/// Whether a time that was at most so far ahead when it was set is still ahead. One that is further
/// away was set before the clock was set back, and does not count.
fn is_ahead(until: Timestamp, now: Timestamp, most: Duration) -> bool {
    now < until && until <= after(now, most)
}

impl Shared {
    /// The person behind an account: of the configuration first, else whoever has linked it.
    pub(crate) fn person_of(&self, account: &Account) -> Option<Arc<Person>> {
        let rules = self.rules();
        let people = rules.policy.people();
        people
            .by_account(account)
            .or_else(|| people.get(&self.identities.linked(account)?))
    }

    /// A request about the caller's own identity.
    pub(crate) async fn identity(&self, caller: &Caller, identity: &Identity) -> Reply {
        let answer = match identity {
            Identity::LinkCode => self.link_code(caller),
            Identity::Redeem { .. } => Err(UserError::new(
                ErrorCode::WrongState,
                format!("{} is {}'s already", caller.account, caller.person.id),
            )
            .hint("give the code on the account that is to be linked")),
            Identity::Unlink { account } => self.unlink(caller, account).await,
            Identity::EnrolTotp => self.enrol(caller).await,
            Identity::ConfirmTotp { code } => self.confirm_factor(caller, code).await,
        };
        answer.unwrap_or_else(|error| Reply::error(&error))
    }

    fn link_code(&self, caller: &Caller) -> Result<Reply, UserError> {
        if caller.person.is_robot() {
            return Err(UserError::new(
                ErrorCode::WrongState,
                "a robot has no accounts to link",
            ));
        }
        let now = self.clock.now();
        let bytes: [u8; 10] = self.sealer.random().map_err(|_| UserError::internal())?;
        let code = grouped(&Secret::from(bytes.to_vec()).to_base32());
        let mut codes = lock(&self.identities.codes);
        codes.retain(|_, code| is_ahead(code.until, now, CODE_LIVES));
        if codes.len() >= MOST {
            return Err(UserError::new(
                ErrorCode::RateLimited,
                "too many codes are waiting to be used",
            )
            .hint("try again in ten minutes"));
        }
        codes.insert(
            self.code_hash(&code),
            LinkCode {
                person: caller.person.id.clone(),
                until: after(now, CODE_LIVES),
            },
        );
        Ok(Reply::text(
            "Type this within ten minutes on the account that is to be yours too. Whoever types it \
             becomes you, so show it to nobody.",
        )
        .with(Block::Code(format!("/rave link {code}"))))
    }

    fn code_hash(&self, code: &str) -> Digest {
        let plain: String = code
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_uppercase())
            .collect();
        self.sealer.keyed_hash("link code", &plain)
    }

    /// Makes an account that nobody knows somebody's, for a code.
    pub(crate) async fn redeem(&self, account: &Account, code: &str) -> Reply {
        let redeemed = self.redeemed(account, code).await;
        redeemed.unwrap_or_else(|error| Reply::error(&error))
    }

    async fn redeemed(&self, account: &Account, code: &str) -> Result<Reply, UserError> {
        let now = self.clock.now();
        let source = format!("link {account}");
        if !self.identities.may_try(&source, now) {
            return Err(locked_out());
        }
        let Some(person) = self.identities.take_code(&self.code_hash(code), now) else {
            self.identities.was_wrong(source, now);
            let row = row(
                now,
                "account.link_refused",
                account,
                None,
                AuditResult::Refused,
            );
            self.commit_identity(vec![Write::Audit(row)]).await?;
            return Err(UserError::new(
                ErrorCode::InvalidCode,
                "this code is wrong, used, or older than ten minutes",
            )
            .hint("`/rave link` on an account that Rave knows gives a new one"));
        };
        let linked = Write::AccountLinked {
            account: account.clone(),
            person: person.clone(),
            at: now,
        };
        let row = row(
            now,
            "account.linked",
            account,
            Some(&person),
            AuditResult::Ok,
        );
        self.commit_identity(vec![linked, Write::Audit(row)])
            .await?;
        lock(&self.identities.linked).insert(account.clone(), person.clone());
        Ok(Reply::text(format!("{account} is {person}'s from now on."))
            .tone(Tone::Good)
            .with(Block::Text(format!(
                "`/rave unlink {account}` gives it up again."
            ))))
    }

    async fn unlink(&self, caller: &Caller, account: &str) -> Result<Reply, UserError> {
        let unknown = || {
            UserError::new(
                ErrorCode::UnknownAccount,
                format!("{account} is not an account that you have linked"),
            )
            .hint("accounts of the configuration are taken out there")
        };
        let (surface, id) = account.split_once(':').ok_or_else(unknown)?;
        if surface == "totp" {
            return self.take_factor(caller, id).await;
        }
        let surface: Surface = surface.parse().map_err(|_| unknown())?;
        let account = Account::new(surface, id);
        let owner = self.identities.linked(&account).ok_or_else(unknown)?;
        let is_admin = caller.person.has(&rave_domain::Role::admin());
        if owner != caller.person.id && !is_admin {
            return Err(unknown());
        }
        let now = self.clock.now();
        let mut row = row(
            now,
            "account.unlinked",
            &account,
            Some(&owner),
            AuditResult::Ok,
        );
        row.details = json!({"by": caller.person.id, "of": owner});
        let writes = vec![Write::AccountUnlinked(account.clone()), Write::Audit(row)];
        self.commit_identity(writes).await?;
        lock(&self.identities.linked).remove(&account);
        Ok(Reply::text(format!("{account} is nobody's any more.")))
    }

    /// Takes a second factor away that was lost. Never one's own: it would be worth no more than
    /// the account.
    async fn take_factor(&self, caller: &Caller, person: &str) -> Result<Reply, UserError> {
        let refused = || {
            UserError::new(
                ErrorCode::PolicyDenied,
                "only another person who is an administrator takes a second factor away",
            )
        };
        let is_admin = caller.person.has(&rave_domain::Role::admin());
        if !is_admin || caller.person.id.as_str() == person {
            return Err(refused());
        }
        let person = PersonId::new(person).map_err(|_| refused())?;
        if !self.has_factor(&person).await {
            return Err(UserError::new(
                ErrorCode::WrongState,
                format!("{person} has no second factor"),
            ));
        }
        let mut row = self.factor_row(caller, "totp.removed", AuditResult::Ok);
        row.target = person.to_string();
        let writes = vec![Write::TotpGone(person.clone()), Write::Audit(row)];
        self.commit_identity(writes).await?;
        Ok(Reply::text(format!(
            "{person} has no second factor any more."
        )))
    }

    async fn enrol(&self, caller: &Caller) -> Result<Reply, UserError> {
        if caller.person.is_robot() {
            return Err(UserError::new(
                ErrorCode::WrongState,
                "a robot has no second factor",
            ));
        }
        let person = &caller.person.id;
        let there = self.store.totp(person).await;
        if there.map_err(|error| store_error(&error))?.is_some() {
            // Whoever has only the account must not put a factor of their own in its place.
            return Err(
                UserError::new(ErrorCode::WrongState, "you have a second factor").hint(format!(
                    "an administrator takes a lost one away: `/rave unlink totp:{person}`"
                )),
            );
        }
        let secret: [u8; 20] = self.sealer.random().map_err(|_| UserError::internal())?;
        let secret = Secret::from(secret.to_vec());
        let shown = secret.to_base32();
        let factor = factor(person, secret)?;
        let address = factor.to_url().map_err(|_| UserError::internal())?;
        let sealed = self
            .sealer
            .seal_for(&place(person), &shown)
            .map_err(|_| UserError::internal())?;
        let until = after(self.clock.now(), CODE_LIVES);
        lock(&self.identities.enrolling).insert(person.clone(), Enrolling { sealed, until });
        Ok(Reply::text(
            "Put this key into your authenticator, and then type `/rave link totp <code>` with the \
             code that it shows, within ten minutes. Nobody shows you the key again.",
        )
        .with(Block::Code(format!("{}\n{address}", grouped(&shown)))))
    }

    async fn confirm_factor(&self, caller: &Caller, code: &str) -> Result<Reply, UserError> {
        let person = &caller.person.id;
        let now = self.clock.now();
        let enrolling = lock(&self.identities.enrolling)
            .get(person)
            .filter(|enrolling| is_ahead(enrolling.until, now, CODE_LIVES))
            .map(|enrolling| enrolling.sealed.clone());
        let Some(sealed) = enrolling else {
            return Err(UserError::new(
                ErrorCode::WrongState,
                "there is no key that waits for its first code",
            )
            .hint("`/rave link totp` makes one"));
        };
        let spending = self.identities.spending.lock().await;
        let row = TotpRow {
            sealed,
            last_step: 0,
        };
        let step = self.checked(caller, &row, code).await?;
        let factor = TotpRow {
            last_step: step,
            ..row
        };
        let set = Write::Totp {
            person: person.clone(),
            factor,
        };
        let audit = self.factor_row(caller, "totp.enrolled", AuditResult::Ok);
        self.commit_identity(vec![set, Write::Audit(audit)]).await?;
        drop(spending);
        lock(&self.identities.enrolling).remove(person);
        Ok(Reply::text("Your second factor is set up.").tone(Tone::Good))
    }

    /// Whether a person has a second factor.
    pub(crate) async fn has_factor(&self, person: &PersonId) -> bool {
        matches!(self.store.totp(person).await, Ok(Some(_)))
    }

    /// Spends a code of the caller's second factor.
    pub(crate) async fn spend(&self, caller: &Caller, code: &str) -> Result<(), UserError> {
        let person = &caller.person.id;
        let spending = self.identities.spending.lock().await;
        let row = self
            .store
            .totp(person)
            .await
            .map_err(|error| store_error(&error))?
            .ok_or_else(|| {
                UserError::new(ErrorCode::InvalidCode, "you have no second factor")
                    .hint("`/rave link totp` sets one up")
            })?;
        let step = self.checked(caller, &row, code).await?;
        let spent = Write::Totp {
            person: person.clone(),
            factor: TotpRow {
                last_step: step,
                ..row
            },
        };
        self.commit_identity(vec![spent]).await?;
        drop(spending);
        Ok(())
    }

    /// The time step of a code that is right and not spent.
    async fn checked(&self, caller: &Caller, row: &TotpRow, code: &str) -> Result<u64, UserError> {
        let person = &caller.person.id;
        let now = self.clock.now();
        let source = format!("totp {person}");
        if !self.identities.may_try(&source, now) {
            return Err(locked_out());
        }
        let secret = self
            .sealer
            .open_for(&place(person), &row.sealed)
            .map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "factor_unreadable"
                );
                UserError::internal()
            })?;
        let secret =
            Secret::try_from_base32(secret.expose_secret()).map_err(|_| UserError::internal())?;
        let digits: String = code.chars().filter(char::is_ascii_digit).collect();
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let step = factor(person, secret)?.check(&digits, seconds);
        if let Some(step) = step.filter(|step| *step > row.last_step) {
            return Ok(step);
        }
        self.identities.was_wrong(source, now);
        let audit = self.factor_row(caller, "totp.refused", AuditResult::Refused);
        self.commit_identity(vec![Write::Audit(audit)]).await?;
        Err(
            UserError::new(ErrorCode::InvalidCode, "this code is wrong or spent")
                .hint("wait for the next one; a code is good once"),
        )
    }

    fn factor_row(&self, caller: &Caller, event: &str, result: AuditResult) -> AuditEntry {
        let person = Some(&caller.person.id);
        let mut row = row(self.clock.now(), event, &caller.account, person, result);
        row.address = caller.address;
        row
    }

    async fn commit_identity(&self, writes: Vec<Write>) -> Result<(), UserError> {
        let written = self.store.commit(writes).await;
        written.map_err(|error| store_error(&error))
    }
}

fn locked_out() -> UserError {
    UserError::new(ErrorCode::RateLimited, "too many wrong codes").hint("try again in 15 minutes")
}

/// What a person's sealed key is bound to.
fn place(person: &PersonId) -> String {
    format!("totp/{person}")
}

/// SHA-1, six digits, 30 seconds, one step of tolerance: what every authenticator takes.
fn factor(person: &PersonId, secret: Secret) -> Result<Totp, UserError> {
    Builder::new()
        .with_secret(secret)
        .with_account_name(person.to_string())
        .with_issuer(Some("Rave"))
        .build()
        .map_err(|_| UserError::internal())
}

/// In groups of four, which people can copy.
fn grouped(code: &str) -> String {
    let letters: Vec<char> = code.chars().collect();
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| group.iter().collect())
        .collect();
    groups.join("-")
}

fn row(
    at: Timestamp,
    event: &str,
    account: &Account,
    person: Option<&PersonId>,
    result: AuditResult,
) -> AuditEntry {
    AuditEntry {
        at,
        event: event.to_owned(),
        category: Category::Authentication,
        severity: match result {
            AuditResult::Ok => Severity::Info,
            AuditResult::Refused | AuditResult::Failed => Severity::Warning,
        },
        result,
        person: person.cloned(),
        account: Some(account.clone()),
        surface: Some(account.surface),
        address: None,
        target: account.to_string(),
        correlation: String::new(),
        duration_ms: None,
        details: json!({}),
    }
}
