//! The other processes of the story, which are this program in another role.

use std::io;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use iot_codec::cbor::Decode;

use crate::link::{FrameReader, write_record};
use crate::words::Order;

/// A process that runs. Dropping it kills it.
pub struct Process<W> {
    child: Child,
    orders: Option<ChildStdin>,
    /// What it says.
    pub words: Receiver<W>,
}

impl<W: for<'b> Decode<'b> + Send + 'static> Process<W> {
    /// Starts this program in the role `role`, out of `folder`.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says when it cannot.
    pub fn start(role: &str, folder: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--role")
            .arg(role)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let orders = child.stdin.take();
        let (word, words) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = FrameReader::new(output);
            while let Ok(Some(said)) = output.record() {
                if word.send(said).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, orders, words })
    }
}

impl<W> Process<W> {
    /// Tells it something. A process that is gone does not hear it.
    pub fn order(&mut self, order: Order) {
        if let Some(orders) = &mut self.orders {
            let _ = write_record(orders, &order);
        }
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.end();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it come to its end.
    ///
    /// # Errors
    ///
    /// When it ended in another way than well.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.orders.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
    }

    fn end(&mut self) {
        // On Unix this is SIGKILL. A process that has ended cannot be killed, which is all right.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<W> Drop for Process<W> {
    fn drop(&mut self) {
        self.end();
    }
}
