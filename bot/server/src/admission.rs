//! Who may come in: key, then address, then rate. Policy comes later, in the engine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, header::AUTHORIZATION};
use rave_domain::audit::{Category, Severity};
use rave_domain::{Account, ErrorCode, Person, Strength, Surface, UserError};
use rave_engine::api::{Caller, Refusal};

use crate::address::{AddressList, ClientAddress};
use crate::error::ApiError;
use crate::state::Server;

/// The header of the seed.
const API_KEY: &str = "x-api-key";

/// Whose key or token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person, or the robot behind a key.
    pub person: Arc<Person>,
    /// The account: the key's or token's name on surface `http`.
    pub account: Account,
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// There is no key and no token at all.
    NotConfigured,
    /// The key is missing or not one of ours.
    Invalid,
}

/// Tells whose key it is, in time that does not depend on the key.
pub trait Authenticator: Send + Sync {
    /// The owner of what was presented in `X-API-Key` or `Authorization: Bearer`.
    ///
    /// # Errors
    /// See [`AuthFailure`].
    fn authenticate(&self, presented: Option<&str>) -> Result<Identity, AuthFailure>;
}

/// Why a request does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turned {
    NotConfigured,
    Key,
    Address,
}

/// The seed's order: first the key, then the address.
fn admit(
    authenticator: &dyn Authenticator,
    allowlist: &AddressList,
    headers: &HeaderMap,
    address: Option<IpAddr>,
) -> Result<Identity, Turned> {
    let identity =
        authenticator
            .authenticate(presented(headers))
            .map_err(|failure| match failure {
                AuthFailure::NotConfigured => Turned::NotConfigured,
                AuthFailure::Invalid => Turned::Key,
            })?;
    if allowlist.is_empty() || allowlist.contains(address) {
        Ok(identity)
    } else {
        Err(Turned::Address)
    }
}

/// What was presented. A header that is not text presents something that no key equals.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get(API_KEY) {
        return Some(key.to_str().unwrap_or_default());
    }
    let (scheme, token) = headers
        .get(AUTHORIZATION)?
        .to_str()
        .unwrap_or_default()
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The client's address, as the outermost layer found it.
pub(crate) fn client_address(request: &Request) -> Option<IpAddr> {
    request
        .extensions()
        .get::<ClientAddress>()
        .and_then(|address| address.0)
}

impl Server {
    /// Lets in whoever has a key and comes from an allowed address.
    pub(crate) fn admit(
        &self,
        request: &Request,
        endpoint: Option<&'static str>,
    ) -> Result<Caller, ApiError> {
        let address = client_address(request);
        let allowlist = &self.config().ip_allowlist;
        match admit(self.authenticator(), allowlist, request.headers(), address) {
            Ok(Identity { person, account }) => Ok(Caller {
                person,
                account,
                strength: Strength::Token,
                address,
                endpoint,
                place: None,
            }),
            Err(turned) => Err(self.turned_away(turned, request, address)),
        }
    }

    /// Lets anybody read as in the seed, unless that is switched off.
    pub(crate) fn admit_reader(&self, request: &Request) -> Result<(), ApiError> {
        if self.config().public_reads {
            return Ok(());
        }
        self.admit(request, None).map(|_| ())
    }

    fn turned_away(&self, turned: Turned, request: &Request, address: Option<IpAddr>) -> ApiError {
        let path = request.uri().path();
        match turned {
            Turned::NotConfigured => ApiError::new(
                ErrorCode::NotConfigured,
                "Server not configured with API key",
            ),
            Turned::Key => {
                self.engine().count_auth_failure("invalid_key");
                let given = if presented(request.headers()).is_some() {
                    "wrong key"
                } else {
                    "no key"
                };
                let refusal = self.refusal("auth.refused", Surface::Http, address, path);
                self.engine().refused(Refusal {
                    alert: "Authentication failure",
                    details: details([("given", given)]),
                    ..refusal
                });
                ApiError::new(ErrorCode::Unauthorized, "Unauthorized")
                    .hint("send the key as X-API-Key, or a token as Authorization: Bearer")
            }
            Turned::Address => {
                self.engine().count_auth_failure("ip_blocked");
                let refusal = self.refusal("address.refused", Surface::Http, address, path);
                self.engine().refused(Refusal {
                    alert: "Client IP not allowed",
                    ..refusal
                });
                ApiError::new(ErrorCode::AddressRefused, "Client IP not allowed")
            }
        }
    }

    /// Counts a request of an address; as in the seed, a body that was refused does not count.
    pub(crate) fn limit_address(
        &self,
        endpoint: &'static str,
        caller: &Caller,
    ) -> Result<(), ApiError> {
        self.limits()
            .address(endpoint, caller.address)
            .map_err(|too_many| {
                self.over_the_limit(caller, endpoint);
                let sentence = self.limits().address_refusal();
                ApiError::new(ErrorCode::RateLimited, sentence.clone())
                    .with(|more| more.error = Some(sentence))
                    .retry_after(too_many.wait)
            })
    }

    /// Counts a request of a person.
    pub(crate) fn limit_person(&self, caller: &Caller, path: &str) -> Result<(), ApiError> {
        self.limits().person(&caller.person.id).map_err(|too_many| {
            self.over_the_limit(caller, path);
            ApiError::new(ErrorCode::RateLimited, self.limits().person_refusal())
                .retry_after(too_many.wait)
        })
    }

    pub(crate) fn over_the_limit(&self, caller: &Caller, target: &str) {
        let refusal = self.refusal(
            "rate.limited",
            caller.account.surface,
            caller.address,
            target,
        );
        self.engine().refused(Refusal {
            account: Some(caller.account.clone()),
            ..refusal
        });
    }

    /// Records that a rule refused a request that the engine only looked at: a dry run, a list.
    pub(crate) fn denied(&self, caller: &Caller, target: &str, error: &UserError) {
        let alert = if error.code == ErrorCode::PolicyDenied {
            "Policy denial"
        } else if error.code == ErrorCode::LabelMismatch {
            "Label mismatch"
        } else {
            return;
        };
        let refusal = self.refusal(
            "intent_denied",
            caller.account.surface,
            caller.address,
            target,
        );
        self.engine().refused(Refusal {
            category: Category::Authorization,
            account: Some(caller.account.clone()),
            alert,
            details: details([("code", error.code.as_str()), ("reason", &error.message)]),
            ..refusal
        });
    }

    /// A refusal with what is the same for most.
    pub(crate) fn refusal(
        &self,
        event: &'static str,
        surface: Surface,
        address: Option<IpAddr>,
        target: &str,
    ) -> Refusal {
        Refusal {
            at: self.engine().now(),
            event,
            category: Category::Authentication,
            severity: Severity::Warning,
            surface,
            address,
            account: None,
            target: target.chars().take(200).collect(),
            alert: "",
            details: BTreeMap::new(),
        }
    }
}

pub(crate) fn details<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rave_domain::people::PersonKind;

    use super::*;

    /// Knows one key.
    struct OneKey(Option<&'static str>);

    impl Authenticator for OneKey {
        fn authenticate(&self, presented: Option<&str>) -> Result<Identity, AuthFailure> {
            let key = self.0.ok_or(AuthFailure::NotConfigured)?;
            if presented != Some(key) {
                return Err(AuthFailure::Invalid);
            }
            Ok(Identity {
                person: Arc::new(Person {
                    id: "api".parse().unwrap(),
                    roles: BTreeSet::new(),
                    kind: PersonKind::Human,
                }),
                account: Account::new(Surface::Http, "api"),
            })
        }
    }

    #[test]
    fn the_key_comes_before_the_address() {
        let key = ("x-api-key", "devkey");
        let anywhere = "";
        let elsewhere = "10.0.0.0/8";
        for (configured, header, allowlist, outcome) in [
            (Some("devkey"), Some(key), anywhere, None),
            (Some("devkey"), Some(key), "192.0.2.0/24", None),
            (Some("devkey"), Some(key), elsewhere, Some(Turned::Address)),
            (
                Some("devkey"),
                Some(("authorization", "Bearer devkey")),
                anywhere,
                None,
            ),
            (
                Some("devkey"),
                Some(("authorization", "bearer  devkey")),
                anywhere,
                None,
            ),
            (
                Some("devkey"),
                Some(("authorization", "Basic devkey")),
                anywhere,
                Some(Turned::Key),
            ),
            (
                Some("devkey"),
                Some(("authorization", "devkey")),
                anywhere,
                Some(Turned::Key),
            ),
            (
                Some("devkey"),
                Some(("x-api-key", "devkez")),
                elsewhere,
                Some(Turned::Key),
            ),
            (
                Some("devkey"),
                Some(("x-api-key", "")),
                anywhere,
                Some(Turned::Key),
            ),
            (Some("devkey"), None, elsewhere, Some(Turned::Key)),
            (None, Some(key), elsewhere, Some(Turned::NotConfigured)),
            (None, None, anywhere, Some(Turned::NotConfigured)),
        ] {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let address = Some("192.0.2.1".parse().unwrap());
            let allowlist: AddressList = allowlist.parse().unwrap();
            let result = admit(&OneKey(configured), &allowlist, &headers, address);
            assert_eq!(
                result.err(),
                outcome,
                "{configured:?} {header:?} {allowlist:?}"
            );
        }
    }

    #[test]
    fn a_key_that_is_not_text_equals_none() {
        let mut headers = HeaderMap::new();
        headers.insert(
            API_KEY,
            http::HeaderValue::from_bytes(b"dev\xffkey").unwrap(),
        );
        headers.insert(AUTHORIZATION, "Bearer devkey".parse().unwrap());
        assert_eq!(presented(&headers), Some(""));
    }
}
