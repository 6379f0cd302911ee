//! Secret parameters: sealed under a key outside the database, hashed under another for digests.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::{Hmac, Mac as _};
use rave_domain::ids::{Digest, RunId};
use secrecy::SecretString;
use sha2::Sha256;

/// Bytes of a nonce in front of each ciphertext.
const NONCE_BYTES: usize = 12;

/// Fills a buffer with random bytes, or says why it cannot.
type Random = Box<dyn Fn(&mut [u8]) -> Result<(), String> + Send + Sync>;

/// Seals and opens values of secret parameters.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    hash_key: [u8; 32],
    random: Random,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(••••)")
    }
}

/// A value could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The ciphertext is not of this key, run and parameter.
    #[error("the sealed value of {param} cannot be opened: the key file may have been replaced")]
    Open {
        /// The parameter.
        param: String,
    },
}

impl Sealer {
    /// Uses the 32 bytes of the key file. `random` fills a buffer with random bytes.
    #[must_use]
    pub fn new(
        key: &[u8; 32],
        random: impl Fn(&mut [u8]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            cipher: ChaCha20Poly1305::new(&Key::from(derive(key, b"rave seal v1"))),
            hash_key: derive(key, b"rave hash v1"),
            random: Box::new(random),
        }
    }

    /// Seals a value for one run and parameter; it opens for no other.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, run: &RunId, param: &str, value: &str) -> Result<Vec<u8>, SealError> {
        self.seal_for(&format!("{run}/{param}"), value)
    }

    /// Seals a value for one place; it opens for no other.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub(crate) fn seal_for(&self, place: &str, value: &str) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        (self.random)(&mut nonce).map_err(SealError::Random)?;
        let payload = Payload {
            msg: value.as_bytes(),
            aad: place.as_bytes(),
        };
        let ciphertext = self
            .cipher
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SealError::Random("the cipher failed".to_owned()))?;
        let mut sealed = nonce.to_vec();
        sealed.extend(ciphertext);
        Ok(sealed)
    }

    /// Opens a sealed value.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn open(&self, run: &RunId, param: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        self.open_for(&format!("{run}/{param}"), sealed)
            .map_err(|_| SealError::Open {
                param: param.to_owned(),
            })
    }

    /// Opens a value that was sealed for a place.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub(crate) fn open_for(&self, place: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        let refused = || SealError::Open {
            param: place.to_owned(),
        };
        let (nonce, ciphertext) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(refused)?;
        let payload = Payload {
            msg: ciphertext,
            aad: place.as_bytes(),
        };
        let plain = self
            .cipher
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| refused())?;
        String::from_utf8(plain)
            .map(SecretString::from)
            .map_err(|_| refused())
    }

    /// Random bytes.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], SealError> {
        let mut bytes = [0; N];
        (self.random)(&mut bytes).map_err(SealError::Random)?;
        Ok(bytes)
    }

    /// A keyed hash: equal for equal values, and useless without the key.
    #[must_use]
    pub fn keyed_hash(&self, param: &str, value: &str) -> Digest {
        let mut text = param.as_bytes().to_vec();
        text.push(0);
        text.extend_from_slice(value.as_bytes());
        Digest::from_bytes(derive(&self.hash_key, &text))
    }
}

/// The key for what comes back from chats in buttons and forms, out of the 32 bytes of the key file.
/// It serves nothing else.
#[must_use]
pub fn callback_key(key: &[u8; 32]) -> [u8; 32] {
    derive(key, b"rave callback v1")
}

fn derive(key: &[u8; 32], label: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length, so this cannot fail; the fallback keeps the type total.
    match <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(label);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn sealer() -> Sealer {
        Sealer::new(&[7; 32], |bytes| {
            bytes.fill(9);
            Ok(())
        })
    }

    #[test]
    fn a_value_opens_only_for_its_run_and_parameter() {
        let (run, other) = (
            RunId::new("run_0001").unwrap(),
            RunId::new("run_0002").unwrap(),
        );
        let sealed = sealer().seal(&run, "password", "hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let opened = sealer().open(&run, "password", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), "hunter2");
        assert!(sealer().open(&other, "password", &sealed).is_err());
        assert!(sealer().open(&run, "token", &sealed).is_err());
    }
}
