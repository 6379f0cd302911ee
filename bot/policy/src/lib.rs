//! Who may do what. Pure: texts of files, people and intents come in as arguments; nothing here
//! reads a clock, a file or the network.
//!
//! A [`Policy`] is made once from a [`PolicyInput`] and replaced as a whole on reload; one that
//! does not check is never made, so nothing fails open. Decisions are Cedar's: a handful of fixed
//! rules (`src/cedar/fixed.cedar`) read attributes that are filled from roles, intent shorthands and key
//! files, and operators' `.cedar` files add rules. A rule that cannot be evaluated refuses.
//!
//! This is the only crate that makes an [`Authorized`]: what asks for one as an argument cannot be
//! reached without a decision.
//!
//! # From configuration to a policy
//!
//! ```text
//! Policy::load(PolicyInput { people, tokens, keys, files, intents }) -> Result<Policy, Faults>
//! policy.with_intents(intents)          -> Result<Policy, Faults>   // after a catalog reload
//! policy.hash()                         -> Digest                   // for audit rows and plans
//! policy.warnings()                     -> &[String]                // for `rave check`, start-up
//! Keys::load(global: Option<SecretString>, file: Option<KeyFileText { origin, text }>) -> Result<Keys, Faults>
//! ```
//!
//! # From a request to a subject
//!
//! ```text
//! policy.people().by_account(&Account)  -> Option<Arc<Person>>      // humans and robots with accounts
//! policy.person(&PersonId)              -> Option<Arc<Person>>      // anybody, key robots included
//! policy.robot(Robot::Scheduler)        -> Arc<Person>              // Api, Scheduler, WebhookGithub, WebhookGitlab
//! policy.authenticate_key(key, Option<Endpoint>) -> KeyCheck        // Known(Subject) | Wrong | GlobalRefused | NotConfigured
//! policy.authenticate_token(token)      -> Option<Subject>          // Bearer or X-API-Key
//! policy.knows_anybody()                -> bool                     // else `rave serve` refuses to start
//! Subject::new(person, account, strength)                           // live, through an account
//! Subject::recorded(person, account)                                // again for a run on record: claim, start
//! ```
//!
//! # From a subject to a decision
//!
//! ```text
//! policy.decide(&Subject, Action)       -> Result<Authorized<Action>, Denial>
//! policy.authorize(&Subject, T)         -> Result<Authorized<T>, Denial>   // T: Permissible, all its actions
//! policy.may_ask(&Subject, &IntentName) -> Leave { Yes, Depends, No }      // for help and `intents`
//! Action::Request { intent, arguments } | Action::Decide(Decidable) | Action::Run(RunVerb, RunFacts)
//!       | Action::Builtin(Builtin, Option<String>)
//! Builtin::from_str("lock.break"), RunVerb::{Read, Cancel, Retry, Resolve}
//! Denial { code, rule, because, nearest_yes } -> UserError;  denial.by_key_file(), endpoint.seed_refusal()
//! label_gate(&intent, required, approved), freeze_gate(&freezes, &intent, target) -> Result<(), Denial>
//! ```
//!
//! # Approvals
//!
//! ```text
//! policy.needs(intents, requester: &Person)         -> Vec<ApprovalNeed>   // +1 for a robot without owners
//! policy.eligible(&Decidable)                       -> Vec<PersonId>       // who could decide now
//! policy.counts_for(&Subject, &[Decidable])         -> Result<Vec<u32>, Denial>  // for Event::Decided
//! policy.explain(&PersonId, &IntentName, &Values)   -> Explanation         // Display is the text
//! ```
//!
//! What it deliberately does not do: count approvals (the run core does), verify signatures (the
//! surfaces do), remember anything beyond a bounded cache of decisions.

mod action;
mod alike;
mod approvals;
mod authorized;
mod cache;
mod cedar;
mod channels;
mod compare;
mod decide;
mod explain;
mod facts;
mod fault;
mod gate;
mod keys;
mod people;
mod policy;
mod subject;
mod tokens;
mod words;

pub use action::{
    Action, Asked, Builtin, Decidable, Permissible, RunFacts, RunVerb, UnknownAction,
};
pub use approvals::owners;
pub use authorized::{Authorized, Denial};
pub use cedar::PolicyFile;
pub use channels::{ChannelConfig, Channels};
pub use explain::{Explanation, Leave};
pub use facts::{ArgumentKind, IntentFacts};
pub use fault::{Fault, Faults};
pub use gate::{freeze_gate, label_gate};
pub use keys::{Endpoint, KeyCheck, KeyFileText, Keys};
pub use people::{OneOrMany, Owners, People, PersonConfig, Robot, RobotConfig};
pub use policy::{Policy, PolicyInput};
pub use subject::Subject;
pub use tokens::{TokenConfig, Tokens};
