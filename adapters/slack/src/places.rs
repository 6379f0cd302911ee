//! Which addresses may be called: the Web API, and what Slack hands out beside it.

use url::{Host, Url};

use crate::config::ConfigError;

/// Where the Web API is.
const API: &str = "https://slack.com/api/";

/// Where `response_url`s are.
const HOOKS: &str = "hooks.slack.com";

/// Where `files.getUploadURLExternal` lets files be sent to.
const FILES: &str = "files.slack.com";

/// Where `apps.connections.open` lets Socket Mode connect to: hosts under this one.
const SOCKETS: &str = ".slack.com";

/// The addresses that outgoing requests are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    api: Url,
    /// Whether the API is another than Slack's own: then everything is at its address.
    of_a_test: bool,
}

impl Places {
    pub(crate) fn parse(api_url: Option<&str>) -> Result<Self, ConfigError> {
        let refuse = |why| ConfigError::ApiUrl { why };
        let text = api_url.unwrap_or(API).trim();
        let mut api = Url::parse(text)
            .map_err(|_| refuse("expected an address such as https://slack.com/api/"))?;
        let open = api.scheme() == "http" && is_loopback(&api);
        if api.scheme() != "https" && !open {
            return Err(refuse(
                "expected an https:// address; http:// is for this machine only",
            ));
        }
        if !is_plain(&api) || api.query().is_some() || api.fragment().is_some() {
            return Err(refuse(
                "expected an address without user, query and fragment",
            ));
        }
        if !api.path().ends_with('/') {
            let path = format!("{}/", api.path());
            api.set_path(&path);
        }
        Ok(Self {
            of_a_test: api.as_str() != API,
            api,
        })
    }

    /// The address of a method. Method names are constants of this crate.
    pub(crate) fn method(&self, name: &str) -> Url {
        self.api.join(name).unwrap_or_else(|_| self.api.clone())
    }

    /// A `response_url`, when it is one.
    pub(crate) fn response_url(&self, text: &str) -> Option<Url> {
        self.at(text, HOOKS)
    }

    /// An upload address, when it is one.
    pub(crate) fn upload_url(&self, text: &str) -> Option<Url> {
        self.at(text, FILES)
    }

    /// A Socket Mode address, when it is one.
    pub(crate) fn socket_url(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(is_plain)?;
        let fits = if self.of_a_test {
            matches!(url.scheme(), "ws" | "wss") && url.host() == self.api.host()
        } else {
            url.scheme() == "wss"
                && url.port().is_none()
                && url.host_str().is_some_and(|host| host.ends_with(SOCKETS))
        };
        fits.then_some(url)
    }

    fn at(&self, text: &str, host: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(is_plain)?;
        let fits = if self.of_a_test {
            url.origin() == self.api.origin()
        } else {
            url.scheme() == "https" && url.port().is_none() && url.host_str() == Some(host)
        };
        fits.then_some(url)
    }
}

fn is_plain(url: &Url) -> bool {
    url.has_host() && url.username().is_empty() && url.password().is_none()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slacks_own_addresses_are_called() {
        let places = Places::parse(None).unwrap();
        assert_eq!(
            places.method("chat.update").as_str(),
            "https://slack.com/api/chat.update"
        );
        for (url, held) in [
            ("https://hooks.slack.com/commands/T1/2/x", true),
            ("https://hooks.slack.com:443/actions/T1/2/x", true),
            ("http://hooks.slack.com/commands/T1/2/x", false),
            ("https://hooks.slack.com:8443/commands/T1/2/x", false),
            ("https://hooks.slack.com.evil.example/x", false),
            ("https://hooks.slack.com@evil.example/x", false),
            ("https://evil@hooks.slack.com/x", false),
            ("https://slack.com/api/x", false),
            ("https://127.0.0.1/x", false),
            ("", false),
        ] {
            assert_eq!(places.response_url(url).is_some(), held, "{url}");
        }
        assert!(
            places
                .upload_url("https://files.slack.com/upload/v1/x")
                .is_some()
        );
        assert!(
            places
                .upload_url("https://hooks.slack.com/upload/v1/x")
                .is_none()
        );
        for (url, held) in [
            ("wss://wss-primary.slack.com/link/?ticket=1", true),
            ("ws://wss-primary.slack.com/link/", false),
            ("wss://slack.com.evil.example/link/", false),
            ("wss://evilslack.com/link/", false),
        ] {
            assert_eq!(places.socket_url(url).is_some(), held, "{url}");
        }
    }

    #[test]
    fn a_test_has_everything_at_its_own_address() {
        let places = Places::parse(Some("http://127.0.0.1:4000/api")).unwrap();
        assert_eq!(
            places.method("chat.update").as_str(),
            "http://127.0.0.1:4000/api/chat.update"
        );
        assert!(
            places
                .response_url("http://127.0.0.1:4000/hook/1")
                .is_some()
        );
        assert!(
            places
                .response_url("http://127.0.0.1:4001/hook/1")
                .is_none()
        );
        assert!(places.response_url("https://hooks.slack.com/x").is_none());
        assert!(
            places
                .upload_url("http://127.0.0.1:4000/upload/1")
                .is_some()
        );
        assert!(places.socket_url("ws://127.0.0.1:4001/link").is_some());
        assert!(places.socket_url("ws://127.0.0.2:4001/link").is_none());
    }

    #[test]
    fn tokens_travel_over_tls_or_not_at_all() {
        for bad in [
            "slack.com/api",
            "http://slack.com/api/",
            "ftp://127.0.0.1/",
            "https://a:b@slack.com/api/",
            "https://slack.com/api/?x",
            "https://slack.com/api/#x",
        ] {
            assert!(Places::parse(Some(bad)).is_err(), "{bad}");
        }
        assert!(Places::parse(Some("https://slack.com/api/")).is_ok());
    }
}
