//! The configured address of Mattermost, and which addresses lie under it.

use url::Url;

use crate::config::ConfigError;

/// The base that outgoing requests are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(Url);

impl Base {
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let refuse = |why| ConfigError::Url { why };
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
        let base = Base::parse("https://chat.example.com/mm").unwrap();
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
    fn a_base_is_a_plain_web_address() {
        for bad in [
            "chat.example.com",
            "ftp://x",
            "https://a:b@x",
            "https://x/?q",
            "https://x/#f",
        ] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
        assert!(Base::parse("http://127.0.0.1:8065").is_ok());
    }
}
