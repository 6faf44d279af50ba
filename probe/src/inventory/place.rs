//! Where the machine stands: clock, cloud, Kubernetes, containers, certificates.
//!
//! Owns the few questions to a metadata service, asked only where the firmware says that there is one. Never sends anything about the host.

use legator_core::inventory::{Certificate, Clock, Cloud, Container, Kubernetes, Listing, text};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

use super::system::{dmi, line};
use crate::disk::glimpse;

/// A metadata service answers at once or not at all.
const METADATA_WAIT: Duration = Duration::from_secs(2);
const METADATA_BYTES_MAX: usize = 16 * 1024;
const METADATA: &str = "http://169.254.169.254";

/// The clock; its offset in steps of half a second, so that jitter is no change.
pub(super) fn clock(offset_ms: Option<i64>) -> Clock {
    let kept = Path::new("/run/systemd/timesync/synchronized").exists();
    Clock { offset_ms: offset_ms.map(|offset| offset / 500 * 500), synchronised: kept.then_some(true) }
}

/// The cloud that the firmware names; empty where it names none.
pub(super) fn cloud_of_firmware() -> Cloud {
    let marks = [
        dmi("sys_vendor"),
        dmi("board_vendor"),
        dmi("bios_vendor"),
        dmi("product_name"),
        dmi("chassis_asset_tag"),
    ];
    Cloud { provider: provider(&marks.join(" ")).to_owned(), ..Cloud::default() }
}

pub(super) fn provider(firmware: &str) -> &'static str {
    let marks = [
        ("Amazon EC2", "aws"),
        ("Google", "gcp"),
        // The asset tag of Azure's machines; other Hyper-V hosts do not have it.
        ("7783-7084-3265-9085-8269-3286-77", "azure"),
        ("DigitalOcean", "digitalocean"),
        ("Hetzner", "hetzner"),
        ("Alibaba Cloud", "alibaba"),
        ("OracleCloud", "oracle"),
        ("OpenStack", "openstack"),
        ("Scaleway", "scaleway"),
        ("Linode", "linode"),
        ("Vultr", "vultr"),
    ];
    marks.iter().find(|(mark, _)| firmware.contains(mark)).map_or("", |(_, name)| name)
}

/// What the metadata service of that cloud says, where one is known.
pub(super) async fn cloud() -> Option<Cloud> {
    let known = cloud_of_firmware();
    if known.provider.is_empty() {
        return None;
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(METADATA_WAIT)
        .redirect(reqwest::redirect::Policy::none());
    let client = client.build().ok()?;
    let told = match known.provider.as_str() {
        "aws" => aws(&client).await,
        "gcp" => gcp(&client).await,
        "azure" => azure(&client).await,
        "digitalocean" => plain(&client, ["/metadata/v1/id", "", "/metadata/v1/region"]).await,
        "hetzner" => {
            let base = "/hetzner/v1/metadata";
            plain(&client, [&format!("{base}/instance-id"), "", &format!("{base}/availability-zone")]).await
        }
        _ => None,
    };
    Some(told.map_or(known.clone(), |told| Cloud { provider: known.provider, ..told }))
}

async fn body(request: reqwest::RequestBuilder) -> Option<String> {
    let mut answer = request.send().await.ok()?.error_for_status().ok()?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if bytes.len() + piece.len() > METADATA_BYTES_MAX {
            return None;
        }
        bytes.extend_from_slice(&piece);
    }
    Some(text(String::from_utf8_lossy(&bytes).trim()))
}

/// A path such as `projects/1/zones/a`: only its last part.
fn last(path: String) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

async fn plain(client: &reqwest::Client, paths: [&str; 3]) -> Option<Cloud> {
    let mut words = Vec::new();
    for path in paths {
        let word = if path.is_empty() { None } else { body(client.get(format!("{METADATA}{path}"))).await };
        words.push(word.unwrap_or_default());
    }
    let mut words = words.into_iter();
    let mut next = || words.next().unwrap_or_default();
    Some(Cloud { provider: String::new(), instance: next(), kind: next(), zone: next() })
}

async fn aws(client: &reqwest::Client) -> Option<Cloud> {
    let put = client
        .put(format!("{METADATA}/latest/api/token"))
        .header("X-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = body(put).await?;
    let mut words = Vec::new();
    for path in ["instance-id", "instance-type", "placement/availability-zone"] {
        let get = client
            .get(format!("{METADATA}/latest/meta-data/{path}"))
            .header("X-aws-ec2-metadata-token", &token);
        words.push(body(get).await.unwrap_or_default());
    }
    let mut words = words.into_iter();
    let mut next = || words.next().unwrap_or_default();
    Some(Cloud { provider: String::new(), instance: next(), kind: next(), zone: next() })
}

async fn gcp(client: &reqwest::Client) -> Option<Cloud> {
    let get = async |path: &str| {
        let request = client.get(format!("{METADATA}/computeMetadata/v1/instance/{path}"));
        body(request.header("Metadata-Flavor", "Google")).await.map(last).unwrap_or_default()
    };
    Some(Cloud {
        provider: String::new(),
        instance: get("id").await,
        kind: get("machine-type").await,
        zone: get("zone").await,
    })
}

async fn azure(client: &reqwest::Client) -> Option<Cloud> {
    let get = async |name: &str| {
        let request = client
            .get(format!("{METADATA}/metadata/instance/compute/{name}?api-version=2021-02-01&format=text"));
        body(request.header("Metadata", "true")).await.unwrap_or_default()
    };
    Some(Cloud {
        provider: String::new(),
        instance: get("vmId").await,
        kind: get("vmSize").await,
        zone: get("location").await,
    })
}

/// Node or pod; empty where it is neither.
pub(super) fn kubernetes() -> Kubernetes {
    let namespace = line("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    if !namespace.is_empty() {
        return Kubernetes { role: "pod".to_owned(), flavour: String::new(), namespace };
    }
    let there = |path: &str| Path::new(path).exists();
    let flavours = [
        ("/var/lib/rancher/k3s", "k3s"),
        ("/var/snap/microk8s", "microk8s"),
        ("/var/lib/kubelet", "kubelet"),
    ];
    match flavours.iter().find(|(path, _)| there(path)) {
        Some((_, flavour)) => {
            Kubernetes { role: "node".to_owned(), flavour: (*flavour).to_owned(), namespace: String::new() }
        }
        None => Kubernetes::default(),
    }
}

/// Containers that run, from what `container.list` gives, with the names that Docker keeps on disk.
pub(super) fn containers(value: &Value) -> Listing<Container> {
    let word = |item: &Value, name: &str| text(item.get(name).and_then(Value::as_str).unwrap_or_default());
    let items = value.get("containers").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |item: &Value| {
        let id = word(item, "id");
        let (name, image) = docker(&id).unwrap_or_else(|| (word(item, "name"), String::new()));
        let short = id.chars().take(12).collect();
        Container { id: short, name, image, runtime: word(item, "runtime"), state: "running".to_owned() }
    };
    Listing::bounded(items.iter().map(one).collect())
}

fn docker(id: &str) -> Option<(String, String)> {
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let content = glimpse(format!("/var/lib/docker/containers/{id}/config.v2.json"), 4 * 1024 * 1024)?;
    let value: Value = serde_json::from_str(&content).ok()?;
    let name = value.get("Name")?.as_str()?.trim_start_matches('/').to_owned();
    let image = value.pointer("/Config/Image").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some((text(&name), text(&image)))
}

/// Certificates, from what `cert.list` gives.
pub(super) fn certificates(value: &Value) -> Listing<Certificate> {
    let items = value.get("certificates").and_then(Value::as_array).cloned().unwrap_or_default();
    let one = |item: &Value| {
        let path = text(item.get("path")?.as_str()?);
        let not_after = serde_json::from_value(item.get("ends")?.clone()).ok()?;
        Some(Certificate { path, not_after })
    };
    Listing::bounded(items.iter().filter_map(one).collect())
}
