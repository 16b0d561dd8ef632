//! Channels to workers, over the sockets that their URLs name (`unix:///path`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::common::DataFusionError;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use tonic::transport::{Channel, Endpoint};
use url::Url;

use super::refusal::Refusal;

/// One channel for each worker; it connects when it is used, and again when the worker came back.
#[derive(Clone, Default)]
pub(super) struct Channels(Arc<Mutex<HashMap<Url, Channel>>>);

impl Channels {
    pub(super) fn channel(&self, url: &Url) -> Result<BoxCloneSyncChannel, Refusal> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = known.get(url) {
            return Ok(BoxCloneSyncChannel::new(channel.clone()));
        }
        if url.scheme() != "unix" {
            return Err(Refusal::Failed);
        }
        let endpoint = Endpoint::from_shared(url.to_string()).map_err(|_| Refusal::Failed)?;
        let channel = endpoint.connect_lazy();
        known.insert(url.clone(), channel.clone());
        Ok(BoxCloneSyncChannel::new(channel))
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(
        &self,
        url: &Url,
    ) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        Ok(create_worker_client(self.channel(url)?))
    }
}
