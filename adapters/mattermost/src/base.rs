//! A configured address, and which addresses lie under it.

use url::Url;

use crate::config::ConfigError;

/// The base that outgoing requests are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(Url);

impl Base {
    /// The value of a key of `[mattermost]`.
    pub(crate) fn parse(key: &'static str, text: &str) -> Result<Self, ConfigError> {
        let refuse = |why| ConfigError::Url { key, why };
        let mut url = Url::parse(text.trim())
            .map_err(|_| refuse("expected an address such as https://chat.example.com"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(refuse(
                "expected an address that begins with https:// or http://",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("a user name or password does not belong in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("a query or fragment does not belong in it"));
        }
        // With the slash, `https://host/mm` does not cover `https://host/mm-other`.
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    /// The address, when it lies under this base. Parsing resolves `..` first, also in its
    /// percent-encoded spellings.
    pub(crate) fn holds(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let same_place = url.scheme() == self.0.scheme()
            && url.host() == self.0.host()
            && url.port_or_known_default() == self.0.port_or_known_default();
        let plain = url.username().is_empty() && url.password().is_none();
        (same_place && plain && url.path().starts_with(self.0.path())).then_some(url)
    }

    /// An address under this base. Ids of the vendor may be segments: they cannot lead elsewhere.
    pub(crate) fn at<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Web addresses always have segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The same place for a connection that is kept: `ws` for `http`.
    pub(crate) fn socket<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.at(segments);
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // Both are of the same kind, so this cannot be refused.
        let _ = url.set_scheme(scheme);
        url
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_under_the_base_are_held() {
        let base = Base::parse("url", "https://chat.example.com/mm").unwrap();
        for (address, held) in [
            ("https://chat.example.com/mm/hooks/commands/x1", true),
            ("https://CHAT.example.com:443/mm/hooks/commands/x1", true),
            ("https://chat.example.com/mm/../admin", false),
            ("https://chat.example.com/mm/%2e%2e/admin", false),
            ("https://chat.example.com/mm-other/hooks", false),
            ("https://chat.example.com/hooks/commands/x1", false),
            ("http://chat.example.com/mm/hooks/commands/x1", false),
            ("https://chat.example.com:8443/mm/hooks/commands/x1", false),
            ("https://chat.example.com.evil.example/mm/x", false),
            ("https://chat.example.com@evil.example/mm/x", false),
            ("https://ann:pw@chat.example.com/mm/x", false),
            ("//chat.example.com/mm/x", false),
            ("file:///mm/x", false),
            ("", false),
        ] {
            assert_eq!(base.holds(address).is_some(), held, "{address}");
        }
    }

    #[test]
    fn ids_cannot_lead_out_of_the_base() {
        let base = Base::parse("url", "https://chat.example.com/mm").unwrap();
        for (id, address) in [
            ("p1", "https://chat.example.com/mm/api/v4/posts/p1"),
            (
                "../../x",
                "https://chat.example.com/mm/api/v4/posts/..%2F..%2Fx",
            ),
            ("..", "https://chat.example.com/mm/api/v4/posts"),
            (
                "a?b#c",
                "https://chat.example.com/mm/api/v4/posts/a%3Fb%23c",
            ),
        ] {
            assert_eq!(base.at(["api", "v4", "posts", id]).as_str(), address);
        }
        assert_eq!(
            base.socket(["api", "v4", "websocket"]).as_str(),
            "wss://chat.example.com/mm/api/v4/websocket"
        );
    }

    #[test]
    fn a_base_is_a_plain_web_address() {
        for bad in [
            "chat.example.com",
            "ftp://x",
            "https://a:b@x",
            "https://x/?q",
            "https://x/#f",
        ] {
            assert!(Base::parse("url", bad).is_err(), "{bad}");
        }
        assert!(Base::parse("url", "http://127.0.0.1:8065").is_ok());
    }
}
