//! Slack's ids, bounded before they are kept.

use rave_domain::ports::surface::SurfaceRejection;
use rave_domain::{Account, Surface};

/// Longer ids are not Slack's: team, user and channel ids have about a dozen characters, trigger
/// ids about 70.
const LONGEST_ID: usize = 255;

pub(crate) fn malformed(why: impl Into<String>) -> SurfaceRejection {
    SurfaceRejection::Malformed { why: why.into() }
}

/// An id as it is, when it can be one.
pub(crate) fn id<'a>(what: &str, text: &'a str) -> Result<&'a str, SurfaceRejection> {
    if text.is_empty() {
        return Err(malformed(format!("{what} is missing")));
    }
    let fits = text.len() <= LONGEST_ID && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if fits {
        Ok(text)
    } else {
        Err(malformed(format!("{what} is not an id")))
    }
}

/// An id that may be missing; one that cannot be an id is none.
pub(crate) fn maybe(text: Option<&str>) -> Option<String> {
    text.and_then(|text| id("", text).ok()).map(str::to_owned)
}

/// Who somebody is: user ids are unique within a team only. In an organisation-wide installation
/// the team may be missing, and the organisation stands for it.
pub(crate) fn account(
    team: Option<&str>,
    enterprise: Option<&str>,
    user: &str,
) -> Result<Account, SurfaceRejection> {
    let user = id("the user", user)?;
    let team = [team, enterprise]
        .into_iter()
        .flatten()
        .find(|id| !id.is_empty())
        .unwrap_or_default();
    let team = id("the team", team)?;
    Ok(Account::new(Surface::Slack, format!("{team}/{user}")))
}
