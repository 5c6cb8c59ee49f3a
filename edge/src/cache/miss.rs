//! A response being filled, as Pingora writes it.

use super::{Cache, Head, began, content_length, served, store_key};
use crate::snapshot::Served;
use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::CacheMeta;
use pingora_cache::key::CacheKey;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::{Error, ErrorType, Result};
use std::sync::{Arc, OnceLock};
use store::{Fill, Own};

/// Tells the request for which a response is filled of its part in that.
#[derive(Clone, Default)]
pub(crate) struct Course(Arc<OnceLock<Own>>);

impl Course {
    /// Its part; none before a fill has begun.
    pub(crate) fn own(&self) -> Option<&Own> {
        self.0.get()
    }
}

impl Cache {
    /// Begins to fill the response with this meta.
    pub(super) fn begin_fill(&self, key: &CacheKey, meta: &CacheMeta) -> Result<Miss> {
        let head = Head::of(meta)
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a head without facts"))?;
        let length = content_length(meta.headers());
        let name = key.primary_key().into();
        let mut fill = self.store.fill(store_key(key), name, head, began(meta));
        let own = fill.with_own_reader(length, self.abandoned_max_bytes);
        if let Some(course) = meta.extensions().get::<Course>() {
            // one response is filled for one request
            course.0.set(own).ok();
        }
        let number = fill.number().to_le_bytes();
        Ok(Miss { fill, number, bytes: 0, served: served(meta).map(Arc::clone) })
    }
}

/// A response being filled.
pub(super) struct Miss {
    fill: Fill<Head>,
    number: [u8; 8],
    bytes: usize,
    served: Option<Arc<Served>>,
}

#[async_trait]
impl HandleMiss for Miss {
    async fn write_body(&mut self, data: Bytes, _: bool) -> Result<()> {
        self.bytes += data.len();
        self.fill.ready().await;
        self.fill
            .write(data)
            .map_err(|error| Error::because(ErrorType::WriteError, "filling the store", error))
    }

    /// Called when the origin's response is whole.
    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        self.fill.settle().await;
        let served = self.served;
        // what was purged meanwhile takes nothing's place: there may be a newer one by now
        self.fill.complete_if(|name, head| served.is_none_or(|served| !served.is_gone(name, head)));
        Ok(MissFinishType::Created(self.bytes))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(&self.number)
    }
}
