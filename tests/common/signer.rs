//! Signs tokens as a provider does, and shows the keys of its signers. What it signs may be as wrong as a test wants it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// A key of a provider, with its name.
pub struct Signer {
    pub kid: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// RS256 with a fixed key: making one takes seconds.
    pub fn rs256(kid: &str) -> Self {
        Self::rsa(kid, include_bytes!("rsa_a.pem"))
    }

    /// RS256 with another fixed key.
    pub fn other_rs256(kid: &str) -> Self {
        Self::rsa(kid, include_bytes!("rsa_b.pem"))
    }

    fn rsa(kid: &str, pem: &[u8]) -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        Self { kid: kid.to_owned(), key: Key::Rsa(key) }
    }

    /// ES256 with a new key.
    pub fn es256(kid: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), key: Key::P256(key) }
    }

    /// EdDSA with a new key.
    pub fn eddsa(kid: &str) -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        Self { kid: kid.to_owned(), key: Key::Ed25519(key) }
    }

    /// The name of its algorithm.
    pub const fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key, as a JWKS shows it.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                let PublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)})
            }
            Key::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y)})
            }
            Key::Ed25519(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key.public_key())}),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm());
        jwk
    }

    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.kid})
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), &claims.to_string())
    }

    /// A token with this header and these claims, which need not be JSON.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", base64url(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Key::P256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// HS256 with the public key as the secret, in one of the spellings that libraries once took for it.
    pub fn hs256_with_the_public_key(&self, claims: &Value) -> Vec<String> {
        let jwk = self.jwk();
        let spellings: [Vec<u8>; 3] = match &self.key {
            Key::Rsa(key) => {
                let der = key.public().as_ref().to_vec();
                [der, jwk.to_string().into_bytes(), jwk["n"].as_str().unwrap().into()]
            }
            Key::P256(key) => {
                let point = key.public_key().as_ref().to_vec();
                [point, jwk.to_string().into_bytes(), jwk["x"].as_str().unwrap().into()]
            }
            Key::Ed25519(key) => {
                let point = key.public_key().as_ref().to_vec();
                [point, jwk.to_string().into_bytes(), jwk["x"].as_str().unwrap().into()]
            }
        };
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": self.kid});
        let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
        let sign = |secret: Vec<u8>| {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
            mac.update(signed.as_bytes());
            format!("{signed}.{}", base64url(mac.finalize().into_bytes()))
        };
        spellings.map(sign).into()
    }
}

/// A token that says it is not signed.
pub fn unsigned(claims: &Value) -> Vec<String> {
    let with = |alg: &str| {
        let header = json!({"alg": alg, "typ": "JWT"});
        format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()))
    };
    vec![
        format!("{}.", with("none")),
        with("none"),
        format!("{}.AAAA", with("none")),
        format!("{}.", with("nOnE")),
    ]
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a provider's JWKS endpoint answers.
pub fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
