//! A connection that both sides agreed to use for another protocol, such as WebSocket.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::shared::OpenConnection;
use crate::track::InFlight;

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Copies both ways until one side closes or the revision's streams are ended. `open` keeps a
/// draining edge alive: the HTTP connection that this was has ended.
pub async fn tunnel(
    client: OnUpgrade,
    component: OnUpgrade,
    mut in_flight: InFlight,
    open: OpenConnection,
) {
    let end = in_flight.becomes_stream();
    let copying = async {
        let (client, component) = (client.await?, component.await?);
        let (mut client, mut component) = (TokioIo::new(client), TokioIo::new(component));
        tokio::io::copy_bidirectional(&mut client, &mut component).await?;
        Ok::<_, Broken>(())
    };
    tokio::select! {
        result = copying => {
            if let Err(error) = result {
                tracing::debug!(%error, "an upgraded connection broke off");
            }
        }
        () = end => {}
    }
    drop(open);
}
