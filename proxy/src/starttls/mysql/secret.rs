//! A password for a backend that takes none in the clear over TCP.
//!
//! Owns the last step of `caching_sha2_password` as a client without TLS takes it: the password is
//! mixed with the nonce and encrypted for the backend's RSA key (PKCS #1 v2.2, OAEP with SHA-1, as
//! MySQL has it). Whoever can change what passes between us and the backend can give us a key of
//! their own; this hides the password from those who only listen, and no more. Refuses to know
//! packets. Read next: `login`.

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

/// Encrypts `password`, with the zero behind it, for the key that stands in `pem`. There is nothing
/// if that is no key, or the password too long for it.
pub(super) fn encrypt(password: &[u8], nonce: &[u8], pem: &[u8]) -> Option<Vec<u8>> {
    if nonce.is_empty() {
        return None;
    }
    let mix = nonce.iter().cycle();
    let mixed: Vec<u8> = password.iter().zip(mix).map(|(byte, mix)| byte ^ mix).collect();
    let mixed = Zeroizing::new(mixed);
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&key).ok()?).ok()?;
    let mut room = vec![0; key.ciphertext_size()];
    let encrypted = key.encrypt(&OAEP_SHA1_MGF1SHA1, &mixed, &mut room, None).ok()?;
    Some(encrypted.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A backend's key, and the same as it is sent.
    pub(crate) fn key() -> (OaepPrivateDecryptingKey, String) {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let lines = STANDARD.encode(public.as_ref());
        let lines: Vec<_> = lines.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let (begin, end) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
        let pem = format!("{begin}\n{}\n{end}\n", lines.join("\n"));
        (OaepPrivateDecryptingKey::new(key).unwrap(), pem)
    }

    /// What a backend makes of an encrypted password.
    pub(crate) fn decrypt(key: &OaepPrivateDecryptingKey, bytes: &[u8], nonce: &[u8]) -> Vec<u8> {
        let mut room = vec![0; key.min_output_size()];
        let mixed = key.decrypt(&OAEP_SHA1_MGF1SHA1, bytes, &mut room, None).unwrap();
        mixed.iter().zip(nonce.iter().cycle()).map(|(byte, mix)| byte ^ mix).collect()
    }

    #[test]
    fn a_backend_finds_the_password_in_it() {
        let (key, pem) = key();
        let nonce = b"twenty bytes of nonce";
        for password in [&b"secret\0"[..], b"longer than the nonce, which is mixed in anew\0"] {
            let encrypted = encrypt(password, nonce, pem.as_bytes()).unwrap();
            assert_eq!(decrypt(&key, &encrypted, nonce), password);
        }
    }

    #[test]
    fn what_cannot_be_encrypted_is_not_said() {
        let (_, pem) = key();
        assert_eq!(encrypt(&[b'x'; 300], b"nonce", pem.as_bytes()), None);
        assert_eq!(encrypt(b"secret\0", b"", pem.as_bytes()), None);
        assert_eq!(encrypt(b"secret\0", b"nonce", b"no key"), None);
    }
}
