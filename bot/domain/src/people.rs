//! Surfaces, accounts, people and how strongly a request proves who sent it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, PersonId};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// Mattermost slash commands, buttons and dialogs.
    Mattermost,
    /// Slack.
    Slack,
    /// Discord.
    Discord,
    /// GitHub webhooks.
    Github,
    /// GitLab webhooks.
    Gitlab,
    /// An entry of `schedules.json`.
    Schedule,
    /// The HTTP API.
    Http,
    /// The command line.
    Cli,
    /// The web console.
    Console,
}

impl Surface {
    /// Its name in configuration, audit rows and metrics labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mattermost => "mattermost",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Schedule => "schedule",
            Self::Http => "http",
            Self::Cli => "cli",
            Self::Console => "console",
        }
    }

    /// All surfaces, in the order of the vocabulary.
    pub const ALL: [Self; 9] = [
        Self::Mattermost,
        Self::Slack,
        Self::Discord,
        Self::Github,
        Self::Gitlab,
        Self::Schedule,
        Self::Http,
        Self::Cli,
        Self::Console,
    ];
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Surface {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|surface| surface.as_str() == text)
            .ok_or_else(|| InvalidId {
                given: text.chars().take(80).collect(),
                expected: "a surface",
            })
    }
}

/// An identity on a surface, by the vendor's stable id and never by a display name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The surface that vouches for it.
    pub surface: Surface,
    /// The vendor's id, opaque to Rave: `u-ann`, `T01/U01`, a snowflake, a token's name.
    pub id: String,
}

impl Account {
    /// An account on a surface.
    #[must_use]
    pub fn new(surface: Surface, id: impl Into<String>) -> Self {
        Self {
            surface,
            id: id.into(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.surface, self.id)
    }
}

/// A role, such as `ops`. `admin` may ask for everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(pub String);

impl Role {
    /// The role that may ask for everything; approvals still need other people.
    #[must_use]
    pub fn admin() -> Self {
        Self("admin".to_owned())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A human or a robot that owns accounts and holds roles. Approvals count these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The key in the configuration.
    pub id: PersonId,
    /// Roles held now.
    pub roles: BTreeSet<Role>,
    /// Human, or robot with its owners.
    pub kind: PersonKind,
}

/// Whether a person can decide for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// A human being; may approve.
    Human,
    /// A program. Never approves; its owners cannot approve what it asked for.
    Robot {
        /// The people who run it. Empty: what it asks for needs one approval more.
        owners: BTreeSet<PersonId>,
    },
}

impl Person {
    /// Whether this is a program.
    #[must_use]
    pub fn is_robot(&self) -> bool {
        matches!(self.kind, PersonKind::Robot { .. })
    }

    /// Whether it holds a role.
    #[must_use]
    pub fn has(&self, role: &Role) -> bool {
        self.roles.contains(role)
    }
}

/// How strongly a surface proves the sender, weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// A static shared secret, such as Mattermost's slash token.
    #[default]
    Token,
    /// A button whose hidden context carries our HMAC.
    Sealed,
    /// A signed request: Slack, Discord, a client certificate, a Unix socket.
    Signed,
    /// A second factor.
    Totp,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Token => "token",
            Self::Sealed => "sealed",
            Self::Signed => "signed",
            Self::Totp => "totp",
        })
    }
}
