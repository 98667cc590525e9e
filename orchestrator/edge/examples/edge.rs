//! The edge by itself, for measuring: `edge --listen ADDR --backend ADDR=WEIGHT... [--access-log FILE]`.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use neuroca_deploy_edge::{
    Backend, EdgeOptions, Limits, Listener, ListenerKind, Route, Table, run,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut listen = "127.0.0.1:8080".to_string();
    let (mut backends, mut access_log) = (Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--listen" => listen = value,
            "--access-log" => access_log = Some(PathBuf::from(value)),
            "--backend" => {
                let (address, weight) = value.rsplit_once('=').unwrap_or((&value, "100"));
                backends.push(Backend {
                    revision: format!("r{}", backends.len()),
                    weight: weight.parse()?,
                    addresses: vec![address.to_string()],
                });
            }
            other => return Err(format!("unknown flag {other}").into()),
        }
    }
    let folder = std::env::temp_dir().join(format!("edge-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let table = Table {
        generation: 1,
        listeners: vec![Listener {
            address: listen.clone(),
            kind: ListenerKind::Traffic,
            tls: None,
        }],
        routes: vec![Route {
            component: "api".into(),
            host: None,
            path: "/".into(),
            backends,
            header_routes: Vec::new(),
            mirror: None,
        }],
        limits: Limits::default(),
        sticky: None,
        salt: 0,
        access_log: access_log.is_some(),
    };
    let table_file = folder.join("table.json");
    std::fs::write(&table_file, serde_json::to_vec(&table)?)?;
    let options = EdgeOptions {
        listeners: vec![(listen.clone(), TcpListener::bind(&listen)?)],
        control: UnixListener::bind(folder.join("control"))?,
        table_file,
        access_log,
        drain_limit: Duration::from_secs(10),
    };
    run(options)?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
