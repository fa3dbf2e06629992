//! A certificate authority, and the server's certificate that it signs. Both are made anew at each start, and the authority's key is never
//! written down: nothing can expire between two runs, and nothing on the disk can sign a certificate that the functions would trust.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::user::ServerUser;

pub(crate) const SERVER_CERTIFICATE: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server.key";

/// Writes them into `directory`; the path is the authority's certificate.
pub(super) fn write(directory: &Path, user: &ServerUser) -> Result<PathBuf> {
    let authority_key = KeyPair::generate()?;
    let mut authority = parameters("Scrollback's local certificate authority", Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let server_key = KeyPair::generate()?;
    let mut server = parameters("Scrollback's local Postgres", vec!["localhost".into(), "127.0.0.1".into()])?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_certificate = server.signed_by(&server_key, &issuer)?;

    let authority_file = directory.join("authority.pem");
    user.write_private(&authority_file, &authority_certificate.pem())?;
    user.write_private(&directory.join(SERVER_CERTIFICATE), &server_certificate.pem())?;
    user.write_private(&directory.join(SERVER_KEY), &server_key.serialize_pem())?;
    Ok(authority_file)
}

fn parameters(name: &str, subjects: Vec<String>) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(subjects)?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - Duration::days(1);
    // macOS trusts no server certificate for longer than 825 days.
    parameters.not_after = now + Duration::days(365);
    Ok(parameters)
}
