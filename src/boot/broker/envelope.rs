//! The messages of oslo.messaging (envelope 2.0), and Trove's encryption of what is in them.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

/// A method of the agent that is called, or cast if nobody waits for the answer.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) version: &'a str,
    pub(crate) args: Map<String, Value>,
    /// The queue and the number of the answer.
    pub(crate) reply: Option<(&'a str, &'a str)>,
}

/// Trove's encryption with the key of one instance (`trove/common/crypto_utils.py`): AES-256 in CBC mode, its key the
/// hexadecimal digits of the key's MD5, the initialisation vector in front.
#[derive(Clone)]
pub(crate) struct RpcKey([u8; 32]);

impl std::fmt::Debug for RpcKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RpcKey")
    }
}

impl RpcKey {
    pub(crate) fn new(key: &str) -> Self {
        let mut digits = [0; 32];
        for (place, byte) in digits.chunks_exact_mut(2).zip(Md5::digest(key.as_bytes())) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(digits)
    }

    fn encrypt(&self, text: &str) -> String {
        let vector = *uuid::Uuid::new_v4().as_bytes();
        let encryptor = cbc::Encryptor::<Aes256>::new(&self.0.into(), &vector.into());
        let mut bytes = vector.to_vec();
        bytes.extend(encryptor.encrypt_padded_vec_mut::<Pkcs7>(text.as_bytes()));
        STANDARD.encode(bytes)
    }

    fn decrypt(&self, text: &str) -> Option<Value> {
        let bytes = STANDARD.decode(text).ok()?;
        let (vector, bytes) = bytes.split_at_checked(16)?;
        let vector: [u8; 16] = vector.try_into().ok()?;
        let decryptor = cbc::Decryptor::<Aes256>::new(&self.0.into(), &vector.into());
        let text = decryptor.decrypt_padded_vec_mut::<Pkcs7>(bytes).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Writes a call as the body of an AMQP message. `context` is what Trove calls so: who asks, and for what.
pub(crate) fn encode(call: &Call<'_>, context: &Map<String, Value>, key: Option<&RpcKey>) -> String {
    let hidden =
        |value: &Value| key.map_or_else(|| value.clone(), |key| key.encrypt(&value.to_string()).into());
    let args: Map<_, _> = call.args.iter().map(|(name, value)| (name.clone(), hidden(value))).collect();
    let mut message = json!({
        "method": call.method,
        "args": args,
        "version": call.version,
        "_unique_id": uuid::Uuid::new_v4().simple().to_string(),
    });
    if let Some(fields) = message.as_object_mut() {
        match key {
            Some(key) => {
                let context = Value::Object(context.clone()).to_string();
                fields.insert("_context_context".to_owned(), key.encrypt(&context).into());
            }
            None => {
                fields
                    .extend(context.iter().map(|(name, value)| (format!("_context_{name}"), value.clone())));
            }
        }
        if let Some((queue, id)) = call.reply {
            fields.insert("_msg_id".to_owned(), id.into());
            fields.insert("_reply_q".to_owned(), queue.into());
            fields.insert("_timeout".to_owned(), Value::Null);
        }
    }
    json!({ "oslo.version": "2.0", "oslo.message": message.to_string() }).to_string()
}

/// Reads the body of an AMQP message: the message in the envelope. Nothing if it is none.
pub(crate) fn decode(body: &[u8]) -> Option<Map<String, Value>> {
    let envelope: Map<String, Value> = serde_json::from_slice(body).ok()?;
    match envelope.get("oslo.message")? {
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// The answer to a call: what the method returned. `Err` holds what it raised instead.
pub(crate) fn answer(
    message: &Map<String, Value>,
    id: &str,
    key: Option<&RpcKey>,
) -> Option<Result<Value, String>> {
    if message.get("_msg_id").and_then(Value::as_str) != Some(id) {
        return None;
    }
    if let Some(failure) = message.get("failure").filter(|failure| !failure.is_null()) {
        // A failure is itself JSON in a string, which has the message of the exception in it.
        let text = failure.as_str().unwrap_or_default();
        let inner: Value = serde_json::from_str(text).unwrap_or_default();
        return Some(Err(inner["message"].as_str().unwrap_or(text).to_owned()));
    }
    let result = message.get("result").cloned().unwrap_or_default();
    // An answer without anything in it says only that no more will come.
    if result.is_null() && message.get("ending").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    Some(Ok(clear(&result, key)))
}

/// A heartbeat that an agent has sent to the conductor: the instance and its service status. Nothing for other messages.
pub(crate) fn heartbeat(message: &Map<String, Value>, key: Option<&RpcKey>) -> Option<(String, String)> {
    if message.get("method").and_then(Value::as_str) != Some("heartbeat") {
        return None;
    }
    let args = message.get("args")?;
    let argument = |name: &str| -> Option<Value> {
        let value = args.get(name)?;
        // An agent wraps what it encrypts once more (`conductor_guest_serializer.py`).
        let wrapped = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        match wrapped.as_ref().and_then(|wrapped| wrapped.get("entity")) {
            Some(entity) => Some(clear(entity, key)),
            None => Some(value.clone()),
        }
    };
    let status = argument("payload")?.get("service_status")?.as_str()?.to_owned();
    Some((argument("instance_id")?.as_str()?.to_owned(), status))
}

fn clear(value: &Value, key: Option<&RpcKey>) -> Value {
    let decrypted = key.zip(value.as_str()).and_then(|(key, text)| key.decrypt(text));
    decrypted.unwrap_or_else(|| value.clone())
}

/// For the fuzz target: reads whatever a guest sends.
#[cfg(any(fuzzing, debug_assertions))]
#[doc(hidden)]
pub fn fuzz_envelope(bytes: &[u8]) {
    let key = RpcKey::new("key");
    for key in [None, Some(&key)] {
        if let Some(message) = decode(bytes) {
            let _ = (answer(&message, "1", key), heartbeat(&message, key));
        }
    }
    for line in String::from_utf8_lossy(bytes).lines() {
        let _ = key.decrypt(line);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_call_is_what_oslo_messaging_writes() {
        let call =
            Call { method: "rpc_ping", version: "1.0", args: Map::new(), reply: Some(("reply_1", "2")) };
        let body = encode(&call, &object(&json!({ "user_id": "u" })), None);
        let message = decode(body.as_bytes()).unwrap();
        assert_eq!(message["method"], "rpc_ping");
        assert_eq!(message["_context_user_id"], "u");
        assert_eq!((&message["_msg_id"], &message["_reply_q"]), (&json!("2"), &json!("reply_1")));
    }

    #[test]
    fn answers() {
        let key = RpcKey::new("k");
        for (message, key, expected) in [
            (json!({"_msg_id": "1", "result": true, "failure": null}), None, Some(Ok(json!(true)))),
            (
                json!({"_msg_id": "1", "result": key.encrypt("true"), "failure": null}),
                Some(&key),
                Some(Ok(json!(true))),
            ),
            (json!({"_msg_id": "2", "result": true}), None, None),
            (json!({"_msg_id": "1", "result": null, "ending": true}), None, None),
            (
                json!({"_msg_id": "1", "failure": r#"{"class": "ValueError", "message": "no"}"#}),
                None,
                Some(Err("no".to_owned())),
            ),
        ] {
            assert_eq!(answer(&object(&message), "1", key), expected, "{message}");
        }
    }

    #[test]
    fn heartbeats() {
        let key = RpcKey::new("k");
        let wrapped = |value: Value| {
            json!({"entity": key.encrypt(&value.to_string()), "csz-instance-id": "i"}).to_string()
        };
        for (message, expected) in [
            (
                json!({"method": "heartbeat", "args": {"instance_id": "i", "payload": {"service_status": "building"}}}),
                true,
            ),
            (
                json!({"method": "heartbeat", "args": {
                    "instance_id": wrapped(json!("i")),
                    "payload": wrapped(json!({"service_status": "building"})),
                }}),
                true,
            ),
            (json!({"method": "notify_end", "args": {}}), false),
            (json!({"method": "heartbeat", "args": {"instance_id": "i", "payload": 7}}), false),
        ] {
            let found = heartbeat(&object(&message), Some(&key));
            assert_eq!(found.is_some(), expected, "{message}");
            assert!(found.is_none_or(|found| found == ("i".to_owned(), "building".to_owned())));
        }
    }

    /// The oracle is openssl, with the key and the padding that Trove's Python has.
    #[test]
    fn openssl_reads_what_is_encrypted() {
        let encrypted = STANDARD.decode(RpcKey::new("a key").encrypt("\"text\"")).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let md5 = hex(&Md5::digest(b"a key"));
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("encrypted");
        std::fs::write(&file, &encrypted[16..]).unwrap();
        let output = Command::new("openssl")
            .args([
                "enc",
                "-d",
                "-aes-256-cbc",
                "-K",
                &hex(md5.as_bytes()),
                "-iv",
                &hex(&encrypted[..16]),
                "-in",
            ])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"\"text\"", "{}", String::from_utf8_lossy(&output.stderr));
    }

    proptest! {
        #[test]
        fn what_is_encrypted_is_read_again(text in "\\PC{0,80}", key in "[a-zA-Z0-9]{1,40}") {
            let key = RpcKey::new(&key);
            let value = Value::String(text);
            prop_assert_eq!(key.decrypt(&key.encrypt(&value.to_string())), Some(value));
        }

        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_envelope(&body);
        }
    }
}
