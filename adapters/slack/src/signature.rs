//! The proof that a request is Slack's: version 0 of its signatures, over the raw body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use rave_domain::Timestamp;
use rave_domain::ports::surface::{RawRequest, SurfaceRejection};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// "X-Slack-Signature": `v0=` and 64 hex digits.
const SIGNATURE: &str = "x-slack-signature";

/// "X-Slack-Request-Timestamp": seconds since 1970.
const TIMESTAMP: &str = "x-slack-request-timestamp";

/// How far a request's time may be from ours, in seconds, both ways ("Verifying requests from
/// Slack": five minutes).
const FRESH: u64 = 300;

/// Knows requests that carry Slack's signature.
#[derive(Clone)]
pub(crate) struct Signature(Hmac<Sha256>);

impl Signature {
    /// `None` for a secret that no key can be made of; HMAC takes any length.
    pub(crate) fn new(secret: &SecretString) -> Option<Self> {
        Hmac::new_from_slice(secret.expose_secret().as_bytes())
            .ok()
            .map(Self)
    }

    /// Whether a request is Slack's and of now.
    pub(crate) fn check(
        &self,
        request: &RawRequest,
        now: Timestamp,
    ) -> Result<(), SurfaceRejection> {
        let refuse = |why| Err(SurfaceRejection::NotAuthentic { why });
        let Some(at) = only(&request.headers, TIMESTAMP) else {
            return refuse("no timestamp");
        };
        let Ok(seconds) = at.parse::<i64>() else {
            return refuse("the timestamp is not a number");
        };
        if now.as_second().abs_diff(seconds) > FRESH {
            return refuse("too old or too new");
        }
        let given = only(&request.headers, SIGNATURE).and_then(|text| text.strip_prefix("v0="));
        let Some(given) = given.and_then(|text| hex::decode(text).ok()) else {
            return refuse("no signature of version 0");
        };
        let mut mac = self.0.clone();
        mac.update(b"v0:");
        mac.update(at.as_bytes());
        mac.update(b":");
        mac.update(&request.body);
        // Constant time, and of the full length.
        match mac.verify_slice(&given) {
            Ok(()) => Ok(()),
            Err(_) => refuse("wrong signature"),
        }
    }
}

/// A header that is there once; of two nobody knows which counts.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderValue;

    // The example of "Verifying requests from Slack".
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const AT: i64 = 1_531_420_618;
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
        %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121\
        .803a0bc887a14d10d2c447fce8b6703c";
    const PROOF: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn check(
        at: Option<&str>,
        proof: Option<&str>,
        body: &str,
        now: i64,
    ) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(at) = at {
            headers.insert(TIMESTAMP, HeaderValue::from_str(at).unwrap());
        }
        if let Some(proof) = proof {
            headers.insert(SIGNATURE, HeaderValue::from_str(proof).unwrap());
        }
        let request = RawRequest {
            headers,
            body: Bytes::from(body.to_owned()),
        };
        let signature = Signature::new(&SecretString::from(SECRET)).unwrap();
        let now = Timestamp::from_second(now).unwrap();
        match signature.check(&request, now) {
            Ok(()) => Ok(()),
            Err(SurfaceRejection::NotAuthentic { why }) => Err(why),
            Err(SurfaceRejection::Malformed { why }) => panic!("{why}"),
        }
    }

    #[test]
    fn the_official_example_is_known() {
        let at = AT.to_string();
        assert_eq!(check(Some(&at), Some(PROOF), BODY, AT), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        let at = AT.to_string();
        let later = (AT + 1).to_string();
        let upper = format!("v0={}", PROOF[3..].to_uppercase());
        let changed = BODY.replace("text=", "text=x");
        let other_version = PROOF.replace("v0", "v1");
        let at = Some(at.as_str());
        let proof = Some(PROOF);
        for (at, proof, body, now, expected) in [
            (at, proof, BODY, AT + 300, Ok(())),
            (at, proof, BODY, AT - 300, Ok(())),
            (at, Some(upper.as_str()), BODY, AT, Ok(())),
            (at, proof, BODY, AT + 301, Err("too old or too new")),
            (at, proof, BODY, AT - 301, Err("too old or too new")),
            (
                Some(later.as_str()),
                proof,
                BODY,
                AT,
                Err("wrong signature"),
            ),
            (at, proof, changed.as_str(), AT, Err("wrong signature")),
            (at, proof, "", AT, Err("wrong signature")),
            (at, Some(&PROOF[..65]), BODY, AT, Err("wrong signature")),
            (at, Some("v0="), BODY, AT, Err("wrong signature")),
            (
                at,
                Some("v0=xyz"),
                BODY,
                AT,
                Err("no signature of version 0"),
            ),
            (
                at,
                Some(&PROOF[3..]),
                BODY,
                AT,
                Err("no signature of version 0"),
            ),
            (
                at,
                Some(other_version.as_str()),
                BODY,
                AT,
                Err("no signature of version 0"),
            ),
            (at, None, BODY, AT, Err("no signature of version 0")),
            (None, proof, BODY, AT, Err("no timestamp")),
            (
                Some("soon"),
                proof,
                BODY,
                AT,
                Err("the timestamp is not a number"),
            ),
            (
                Some("-9223372036854775808"),
                proof,
                BODY,
                AT,
                Err("too old or too new"),
            ),
            (
                Some("9223372036854775807"),
                proof,
                BODY,
                AT,
                Err("too old or too new"),
            ),
        ] {
            assert_eq!(
                check(at, proof, body, now),
                expected,
                "{at:?} {proof:?} {now}"
            );
        }
    }

    #[test]
    fn two_signatures_are_none() {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, HeaderValue::from(AT));
        headers.append(SIGNATURE, HeaderValue::from_static(PROOF));
        headers.append(SIGNATURE, HeaderValue::from_static("v0=00"));
        let request = RawRequest {
            headers,
            body: Bytes::from_static(BODY.as_bytes()),
        };
        let signature = Signature::new(&SecretString::from(SECRET)).unwrap();
        assert!(
            signature
                .check(&request, Timestamp::from_second(AT).unwrap())
                .is_err()
        );
    }
}
