//! Signatures in the form of before 1998, which Red Hat's packages still have.

use sequoia_openpgp as pgp;

use pgp::cert::CertBuilder;
use pgp::crypto::Signer as _;
use pgp::crypto::mpi;
use pgp::serialize::{Marshal as _, MarshalInto as _};
use pgp::types::{HashAlgorithm, KeyFlags};

use super::super::{Keyring, OpenPgpError, verify_detached, verify_detached_reader};

/// A signature of version 3 (RFC 4880, 5.2.2), which the library reads and does not write.
fn sign(keys: &mut pgp::crypto::KeyPair, data: &[u8], hash: HashAlgorithm, time: u32) -> Vec<u8> {
    let mut signed = vec![0x00];
    signed.extend(time.to_be_bytes());
    let mut context = hash.context().unwrap().for_digest();
    context.update(data);
    context.update(&signed);
    let digest = context.into_digest().unwrap();
    let mut body = vec![3, 5];
    body.extend(&signed);
    body.extend(keys.public().keyid().as_bytes());
    body.push(u8::from(keys.public().pk_algo()));
    body.push(u8::from(hash));
    body.extend(&digest[..2]);
    match keys.sign(hash, &digest).unwrap() {
        mpi::Signature::EdDSA { r, s } => body.extend([r.to_vec().unwrap(), s.to_vec().unwrap()].concat()),
        other => panic!("{other:?}"),
    }
    // An old packet with one byte of length.
    [vec![0x88, u8::try_from(body.len()).unwrap()], body].concat()
}

#[test]
fn an_old_form_counts_with_a_good_hash_only() {
    let both = KeyFlags::empty().set_certification().set_signing();
    let (certificate, _) =
        CertBuilder::new().add_userid("test").set_primary_key_flags(both).generate().unwrap();
    let key = certificate.primary_key().key().clone().parts_into_secret().unwrap();
    let mut keys = key.into_keypair().unwrap();
    let mut file = Vec::new();
    certificate.serialize(&mut file).unwrap();
    let keyring = Keyring::of_all(&[("key".to_owned(), file)]).unwrap();
    let now = u32::try_from(crate::clock::now()).unwrap();
    let signature = sign(&mut keys, b"data", HashAlgorithm::SHA256, now);
    verify_detached(&keyring, b"data", &signature).unwrap();
    verify_detached_reader(&keyring, &b"data"[..], &signature).unwrap();
    let error = verify_detached(&keyring, b"other", &signature).unwrap_err();
    assert!(matches!(error, OpenPgpError::Changed { .. }), "{error}");
    let error =
        verify_detached(&keyring, b"data", &sign(&mut keys, b"data", HashAlgorithm::SHA1, now)).unwrap_err();
    assert!(matches!(error, OpenPgpError::WeakHash { .. }), "{error}");
    assert!(Keyring::of_all(&[("none".to_owned(), b"no key".to_vec())]).is_err());
}
