//! What Nova and Trove give an instance: its metadata, and files through user data.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where Trove's agent expects its configuration (`injected_config_location`).
pub(crate) const CONFIG_DIR: &str = "/etc/trove/conf.d";

/// A file that Trove has cloud-init write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InjectedFile {
    pub(crate) path: String,
    pub(crate) content: String,
}

/// What makes one instance differ from another.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// Trove's and Nova's name of it, a UUID.
    pub(crate) id: String,
    /// `user:group` that injected files belong to.
    pub(crate) owner: String,
    /// Files, in the order in which Trove writes them.
    pub(crate) files: Vec<InjectedFile>,
    /// Run by the first stage of cloud-init that has a network, before it writes files: one command.
    pub(crate) early: Option<Vec<String>>,
    /// A public key for the default user.
    pub(crate) key: Option<String>,
}

/// What `guest_info.conf` says, in Trove's form (`trove/instance/models.py`, `get_injected_files`).
pub(crate) fn guest_info(id: &str, datastore: &str, version: &str, rpc_key: Option<&str>) -> String {
    let strategy = match datastore {
        "mariadb" => "trove.guestagent.strategies.replication.mariadb_gtid.MariaDBGTIDReplication",
        "postgresql" => "trove.guestagent.strategies.replication.postgresql.PostgresqlReplicationStreaming",
        _ => "trove.guestagent.strategies.replication.mysql_gtid.MysqlGTIDReplication",
    };
    let manager = match datastore {
        "mariadb" => "mariadb:trove.guestagent.datastore.mariadb.manager.Manager".to_owned(),
        "postgresql" => "postgresql:trove.guestagent.datastore.postgres.manager.PostgresManager".to_owned(),
        "mysql" => "mysql:trove.guestagent.datastore.mysql.manager.Manager".to_owned(),
        other => format!("{other}:None"),
    };
    let mut text = format!(
        "[DEFAULT]\nguest_id={id}\ndatastore_manager={datastore}\ndatastore_version={version}\ntenant_id={TENANT}\n\
         datastore_registry_ext={manager}\nreplication_strategy={strategy}\nnetwork_isolation=False\n"
    );
    if let Some(key) = rpc_key {
        text.push_str(&format!("instance_rpc_encr_key={key}\n"));
    }
    text
}

/// The project the instance belongs to. Nobody asks it anything.
const TENANT: &str = "00000000000040008000000000000000";

/// A `trove-guestagent.conf` that suffices for a start.
pub(crate) fn default_conf(transport_url: &str) -> String {
    format!(
        "[DEFAULT]\ntransport_url = {transport_url}\ncontrol_exchange = trove\nlog_dir = /var/log/trove/\n\
         log_file = trove-guestagent.log\n"
    )
}

impl Instance {
    /// User data: what Trove sends (`prepare_cloud_config`), and our command. JSON is YAML, and quotes itself.
    pub(crate) fn user_data(&self) -> String {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| {
                json!({
                    "content": STANDARD.encode(&file.content),
                    "encoding": "b64",
                    "owner": self.owner,
                    "path": file.path,
                })
            })
            .collect();
        let mut config = json!({});
        if !files.is_empty() {
            config["write_files"] = json!(files);
        }
        if let Some(early) = &self.early {
            config["bootcmd"] = json!([early]);
        }
        format!("#cloud-config\n{config}\n")
    }

    /// The host's name. It is not the image's.
    pub(crate) fn host(&self) -> String {
        format!("tib-{}", &self.id[..8])
    }

    /// Files of the metadata, by path below `openstack/latest`.
    pub(crate) fn metadata(&self, macs: &[&str]) -> Vec<(&'static str, String)> {
        let mut meta = json!({
            "uuid": self.id,
            "name": self.host(),
            "hostname": format!("{}.novalocal", self.host()),
            "project_id": TENANT,
            "launch_index": 0,
            "availability_zone": "nova",
            "meta": { "trove_instance_id": self.id, "trove_project_id": TENANT },
        });
        if let Some(key) = &self.key {
            meta["public_keys"] = json!({ "tib": key });
        }
        vec![
            ("meta_data.json", meta.to_string()),
            ("network_data.json", network(macs).to_string()),
            ("user_data", self.user_data()),
            ("vendor_data.json", "{}".to_owned()),
            ("vendor_data2.json", "{}".to_owned()),
        ]
    }
}

/// Cards, each with an address from DHCP.
fn network(macs: &[&str]) -> Value {
    let (mut links, mut networks) = (Vec::new(), Vec::new());
    for (number, mac) in macs.iter().enumerate() {
        let (link, network) = (format!("tap{number}"), format!("network{number}"));
        links.push(
            json!({ "id": link, "type": "phy", "ethernet_mac_address": mac, "mtu": 1500, "vif_id": link }),
        );
        networks.push(
            json!({ "id": network, "type": "ipv4_dhcp", "link": link, "network_id": number.to_string() }),
        );
    }
    json!({ "links": links, "networks": networks, "services": [] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance {
            id: "d8e02d56-2648-49a3-bf97-6be8f1204f38".to_owned(),
            owner: "ubuntu:root".to_owned(),
            files: vec![InjectedFile {
                path: format!("{CONFIG_DIR}/guest_info.conf"),
                content: guest_info("d8e02d56-2648-49a3-bf97-6be8f1204f38", "mariadb", "10.11", Some("key")),
            }],
            early: Some(vec!["true".to_owned()]),
            key: None,
        }
    }

    #[test]
    fn user_data_is_what_trove_writes() {
        let text = instance().user_data();
        let config: Value = serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
        let file = &config["write_files"][0];
        assert_eq!(file["path"], "/etc/trove/conf.d/guest_info.conf");
        assert_eq!(file["owner"], "ubuntu:root");
        let content = STANDARD.decode(file["content"].as_str().unwrap()).unwrap();
        insta::assert_snapshot!(String::from_utf8(content).unwrap());
        assert_eq!(config["bootcmd"][0][0], "true");
        assert!(file.get("permissions").is_none(), "Trove leaves them to cloud-init");
    }

    #[test]
    fn a_key_is_metadata() {
        let mut instance = instance();
        let meta = |instance: &Instance| instance.metadata(&["52:54:00:00:00:01"])[0].1.clone();
        assert!(!meta(&instance).contains("public_keys"));
        instance.key = Some("ssh-ed25519 AAAA".to_owned());
        assert!(meta(&instance).contains(r#""public_keys":{"tib":"ssh-ed25519 AAAA"}"#));
    }
}
