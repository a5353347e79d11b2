//! A connection to a broker: requests, and the answers to them in their order.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use iot_queue_driven::{ConnectionError, Dial, connect};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::ANSWER_WITHIN;
use crate::error::KafkaError;

/// Octets of the longest answer that is read.
const LONGEST_ANSWER: usize = 64 << 20;

/// What the broker is told of who asks.
const CLIENT: &str = "iot-queue-kafka";

#[derive(Debug)]
pub(crate) struct Connection<S> {
    stream: S,
    input: BytesMut,
    /// The number of the next request, and of the next answer.
    numbers: (i32, i32),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) async fn open<D: Dial<Stream = S>>(dial: &D, address: &str) -> Result<Self, KafkaError> {
        let stream = connect(dial, address, ANSWER_WITHIN).await?;
        Ok(Self { stream, input: BytesMut::new(), numbers: (0, 0) })
    }

    /// Sends a request; its answer comes by [`receive`](Self::receive).
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<(), KafkaError> {
        let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
        let header = header.with_correlation_id(self.numbers.0).with_client_id(Some(StrBytes::from_static_str(CLIENT)));
        self.numbers.0 = self.numbers.0.wrapping_add(1);
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header.encode(&mut frame, R::header_version(version)).map_err(|_| KafkaError::Malformed)?;
        request.encode(&mut frame, version).map_err(|_| KafkaError::Malformed)?;
        let len = i32::try_from(frame.len() - 4).map_err(|_| KafkaError::Malformed)?;
        frame[..4].copy_from_slice(&len.to_be_bytes());
        let written = timeout(ANSWER_WITHIN, self.stream.write_all(&frame)).await;
        written.map_err(|_| ConnectionError::Unanswered)?.map_err(|_| ConnectionError::Disconnected.into())
    }

    /// The next answer. May be given up at any time, and gone on with.
    pub(crate) async fn receive(&mut self) -> Result<Bytes, KafkaError> {
        loop {
            if let Some(mut head) = self.input.get(..4) {
                let len = usize::try_from(head.get_i32()).map_err(|_| KafkaError::Malformed)?;
                if len > LONGEST_ANSWER {
                    return Err(KafkaError::Malformed);
                }
                if self.input.len() >= 4 + len {
                    self.input.advance(4);
                    return Ok(self.input.split_to(len).freeze());
                }
            }
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) | Err(_) => return Err(ConnectionError::Disconnected.into()),
                Ok(_) => {}
            }
        }
    }

    /// Reads what came as the answer to a request.
    pub(crate) fn read<R: Request>(&mut self, mut answer: Bytes, version: i16) -> Result<R::Response, KafkaError> {
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
        let expected = self.numbers.1;
        self.numbers.1 = expected.wrapping_add(1);
        if header.map_err(|_| KafkaError::Malformed)?.correlation_id != expected {
            return Err(KafkaError::Malformed);
        }
        R::Response::decode(&mut answer, version).map_err(|_| KafkaError::Malformed)
    }

    /// Sends a request, and waits for its answer, while no other one is under way.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, KafkaError> {
        self.send(request, version).await?;
        let answer = timeout(ANSWER_WITHIN, self.receive()).await.map_err(|_| ConnectionError::Unanswered)??;
        self.read::<R>(answer, version)
    }
}
