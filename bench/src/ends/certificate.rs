//! One certificate for both ends of a TLS measurement, and configurations that trust nothing else.
//!
//! TLS 1.3 with AES-256-GCM and X25519, as landline has them; rustls would otherwise agree on a post-quantum key
//! exchange as well, which landline has not. The certificate holds a P-256 key, rustls's usual and fastest. No resumption:
//! every handshake is a full one.

use crate::Failure;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;

/// The name that the certificate is made out to.
pub(super) const NAME: &str = "localhost";

/// A certificate and its key. Both ends have both: a measurement has no secrets.
pub(super) struct Credentials {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Credentials {
    /// Makes new ones.
    pub(super) fn generate() -> Result<Credentials, Failure> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![NAME.to_owned()])?;
        Ok(Credentials { certificate: cert.der().to_vec(), key: signing_key.serialize_der() })
    }

    /// As text for the other end.
    pub(super) fn to_secret(&self) -> String {
        format!("{}/{}", to_hex(&self.certificate), to_hex(&self.key))
    }

    /// The reverse of [`to_secret`](Credentials::to_secret).
    pub(super) fn from_secret(secret: &str) -> Result<Credentials, Failure> {
        let (certificate, key) = secret.split_once('/').ok_or("the certificate came without its key")?;
        Ok(Credentials { certificate: from_hex(certificate)?, key: from_hex(key)? })
    }

    /// For the end that accepts; `mutual` asks the other end for the certificate too.
    pub(super) fn server(&self, mutual: bool) -> Result<Arc<ServerConfig>, Failure> {
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
        let builder = if mutual {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(self.chain(), self.key())?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For the end that dials; `mutual` shows the certificate there too.
    pub(super) fn client(&self, mutual: bool) -> Result<Arc<ClientConfig>, Failure> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(&[&TLS13])?;
        let builder = builder.with_root_certificates(self.roots()?);
        let mut config = if mutual {
            builder.with_client_auth_cert(self.chain(), self.key())?
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(self.certificate.clone())]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.certificate.clone()))?;
        Ok(roots)
    }
}

/// Whom the initiator expects.
pub(super) fn server_name() -> Result<ServerName<'static>, Failure> {
    Ok(ServerName::try_from(NAME)?)
}

fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384];
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    provider
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    Ok(pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<_, _>>()?)
}
