//! A certificate authority, and the server's certificate that it signs.
//!
//! Both are made anew at each start, so nothing expires between two runs. The authority's key is never written down: no file on the disk can
//! sign a certificate that the functions would trust.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

use crate::user::ServerUser;

pub(crate) const SERVER_CERTIFICATE: &str = "server.pem";
pub(crate) const SERVER_KEY: &str = "server.key";
pub(crate) const AUTHORITY_CERTIFICATE: &str = "authority.pem";

/// A certificate and the key to it.
struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

/// Writes the two certificates and the server's key into `directory`. Returns the path of the authority's certificate.
pub(super) fn write(directory: &Path, user: &ServerUser) -> Result<PathBuf> {
    let authority = authority().context("cannot make a certificate authority")?;
    let server = server(&authority).context("cannot make the server's certificate")?;
    let write = |name, pem| user.write_private(&directory.join(name), &String::from_utf8(pem)?);
    write(AUTHORITY_CERTIFICATE, authority.certificate.to_pem()?)?;
    write(SERVER_CERTIFICATE, server.certificate.to_pem()?)?;
    write(SERVER_KEY, server.key.private_key_to_pem_pkcs8()?)?;
    Ok(directory.join(AUTHORITY_CERTIFICATE))
}

fn authority() -> Result<Identity> {
    let name = name("Scrollback's local certificate authority")?;
    let (mut certificate, key) = begin(&name, &name)?;
    certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    certificate.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
    let own_key = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(own_key)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok(Identity { certificate: certificate.build(), key })
}

fn server(authority: &Identity) -> Result<Identity> {
    let issuer = &authority.certificate;
    let (mut certificate, key) = begin(&*name("Scrollback's local Postgres")?, issuer.subject_name())?;
    certificate.append_extension(BasicConstraints::new().critical().build()?)?;
    certificate.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
    certificate.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    let context = certificate.x509v3_context(Some(issuer), None);
    let names = SubjectAlternativeName::new().dns("localhost").ip("127.0.0.1").build(&context)?;
    let own_key = SubjectKeyIdentifier::new().build(&context)?;
    // All authorities of this tool have the same name. Their keys tell them apart.
    let issuer_key = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
    for extension in [names, own_key, issuer_key] {
        certificate.append_extension(extension)?;
    }
    certificate.sign(&authority.key, MessageDigest::sha256())?;
    Ok(Identity { certificate: certificate.build(), key })
}

/// What both certificates have, and a new key.
fn begin(subject: &X509NameRef, issuer: &X509NameRef) -> Result<(X509Builder, PKey<Private>)> {
    let key = PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?;
    let mut certificate = X509::builder()?;
    // This is version 3.
    certificate.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    certificate.set_serial_number(&*serial.to_asn1_integer()?)?;
    certificate.set_subject_name(subject)?;
    certificate.set_issuer_name(issuer)?;
    certificate.set_pubkey(&key)?;
    // From yesterday on, so that a clock that is set back does not matter.
    let yesterday = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().saturating_sub(24 * 60 * 60);
    certificate.set_not_before(&*Asn1Time::from_unix(yesterday.try_into()?)?)?;
    // macOS trusts no server certificate for longer than 825 days.
    certificate.set_not_after(&*Asn1Time::days_from_now(365)?)?;
    Ok((certificate, key))
}

fn name(common_name: &str) -> Result<X509Name> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use openssl::stack::Stack;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
    use openssl::x509::{X509PurposeId, X509StoreContext, X509StoreContextRef};
    use uuid::Uuid;

    use super::*;

    /// What OpenSSL says about the last certificate of the chain, with the strictest checks that it has.
    fn verdict(chain: &[&X509], trusted: &X509, purpose: X509PurposeId, host: impl Fn(&mut X509VerifyParam)) -> &'static str {
        let mut parameters = X509VerifyParam::new().unwrap();
        parameters.set_flags(X509VerifyFlags::X509_STRICT).unwrap();
        parameters.set_purpose(purpose).unwrap();
        host(&mut parameters);
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(trusted.clone()).unwrap();
        store.set_param(&parameters).unwrap();
        let (last, between) = chain.split_last().unwrap();
        let mut untrusted = Stack::new().unwrap();
        for certificate in between {
            untrusted.push((*certificate).clone()).unwrap();
        }
        let verify = |context: &mut X509StoreContextRef| context.verify_cert().map(|_| context.error());
        X509StoreContext::new().unwrap().init(&store.build(), last, &untrusted, verify).unwrap().error_string()
    }

    fn at(address: [u8; 4]) -> impl Fn(&mut X509VerifyParam) {
        move |parameters| parameters.set_ip(address.into()).unwrap()
    }

    fn named(name: &str) -> impl Fn(&mut X509VerifyParam) {
        move |parameters| parameters.set_host(name).unwrap()
    }

    #[test]
    fn who_trusts_the_authority_trusts_the_server_under_its_two_names() {
        let trusted = authority().unwrap();
        let server = server(&trusted).unwrap().certificate;
        let (trusted, another) = (trusted.certificate, authority().unwrap().certificate);
        let (as_server, as_client) = (X509PurposeId::SSL_SERVER, X509PurposeId::SSL_CLIENT);
        for (verdict, expected) in [
            (verdict(&[&server], &trusted, as_server, named("localhost")), "ok"),
            (verdict(&[&server], &trusted, as_server, at([127, 0, 0, 1])), "ok"),
            (verdict(&[&server], &trusted, as_server, named("example.com")), "hostname mismatch"),
            (verdict(&[&server], &trusted, as_server, at([127, 0, 0, 2])), "IP address mismatch"),
            (verdict(&[&server], &trusted, as_client, at([127, 0, 0, 1])), "unsuitable certificate purpose"),
            (verdict(&[&server], &another, as_server, at([127, 0, 0, 1])), "unable to get local issuer certificate"),
        ] {
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn the_servers_key_signs_no_certificates() {
        let trusted = authority().unwrap();
        let signer = server(&trusted).unwrap();
        let leaf = server(&signer).unwrap().certificate;
        let chain = [&signer.certificate, &leaf];
        let verdict = verdict(&chain, &trusted.certificate, X509PurposeId::SSL_SERVER, named("localhost"));
        assert_eq!(verdict, "invalid CA certificate");
    }

    #[test]
    fn certificates_are_good_for_a_year() {
        let authority = authority().unwrap();
        let server = server(&authority).unwrap();
        for certificate in [authority.certificate, server.certificate] {
            let life = certificate.not_before().diff(certificate.not_after()).unwrap();
            assert_eq!(life.days, 366);
            assert!(certificate.not_before() < &*Asn1Time::days_from_now(0).unwrap());
        }
    }

    #[test]
    fn the_authoritys_key_is_not_on_the_disk() {
        let directory = std::env::temp_dir().join(format!("scrollback-certificates-{}", Uuid::new_v4().simple()));
        let user = ServerUser::choose().unwrap();
        user.create_directory(&directory).unwrap();
        let authority = X509::from_pem(&std::fs::read(write(&directory, &user).unwrap()).unwrap()).unwrap();
        let files: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 3, "{files:?}");
        let mut keys = Vec::new();
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
            keys.extend(PKey::private_key_from_pem(&std::fs::read(file).unwrap()));
        }
        assert_eq!(keys.len(), 1);
        assert!(!keys[0].public_eq(&authority.public_key().unwrap()));
        let server = X509::from_pem(&std::fs::read(directory.join(SERVER_CERTIFICATE)).unwrap()).unwrap();
        assert!(keys[0].public_eq(&server.public_key().unwrap()));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
