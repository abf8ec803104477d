//! Whether a client's server is there, and how it is found again.

use std::sync::Arc;
use std::time::Duration;

use super::options::LOOK_INTERVAL;
use super::{Client, ServerState};
use crate::duplex::turn::{Deadline, lock};
use crate::endpoint::reader::Reader;
use crate::endpoint::writer::Writer;
use crate::values::call_error::CallError;
use crate::values::config::Protocol;
use crate::values::error::{OpenError, WriterPresence};

impl Client {
    /// Whether a server is there, as of now. Asks the kernel.
    pub fn is_server_attached(&self) -> bool {
        match self.responses.try_take() {
            Some(reader) => {
                let is_attached = reader.writer_presence() == WriterPresence::Attached;
                drop(reader);
                self.pass_reader_on();
                is_attached
            }
            // Somebody waits for an answer, and notices when it goes.
            None => self.is_ours() && lock(&self.table).server == ServerState::Attached,
        }
    }

    /// Waits for a server, until one is there or `timeout` has passed; whether one is.
    ///
    /// # Errors
    /// The channel could not be opened again.
    pub fn wait_for_server(&self, timeout: Duration) -> Result<bool, CallError> {
        let deadline = Deadline::after(timeout);
        loop {
            match self.require_server(deadline) {
                Ok(()) if self.is_server_attached() => return Ok(true),
                Ok(()) | Err(CallError::NoServer { .. } | CallError::Timeout { .. }) => {}
                Err(other) => return Err(other),
            }
            if deadline.has_passed() {
                return Ok(false);
            }
            std::thread::sleep(LOOK_INTERVAL.min(deadline.left()));
        }
    }

    /// Fails if there is no server; when it was gone, looks whether one is back.
    pub(crate) fn require_server(&self, deadline: Deadline) -> Result<(), CallError> {
        self.check_process()?;
        let (gone, in_step) = {
            let table = lock(&self.table);
            (table.server != ServerState::Attached, table.pending.is_in_step())
        };
        if gone {
            return self.look_for_server(deadline);
        }
        if in_step {
            return Ok(());
        }
        // Late answers that are here by now settle whose they were.
        if let Some(mut reader) = self.responses.try_take() {
            self.receive_all(&mut reader, deadline);
            drop(reader);
            self.pass_reader_on();
        }
        if lock(&self.table).pending.is_in_step() { Ok(()) } else { Err(self.out_of_step()) }
    }

    /// Gives the answers that are here to their callers; a server that sends more and more of them does not hold up the
    /// caller beyond its deadline.
    fn receive_all(&self, reader: &mut Reader, deadline: Deadline) {
        while self.receive(reader, Duration::ZERO).is_some() && !deadline.has_passed() {}
    }

    fn look_for_server(&self, deadline: Deadline) -> Result<(), CallError> {
        let found = self.find_server(deadline);
        self.pass_reader_on();
        found
    }

    fn find_server(&self, deadline: Deadline) -> Result<(), CallError> {
        let mut reader = self.responses.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
        if lock(&self.table).server == ServerState::Attached {
            return Ok(()); // Somebody else has found it.
        }
        // What there is to be told of the old one, before there is a new one.
        self.receive_all(&mut reader, deadline);
        if self.protocol == Protocol::V1 || lock(&self.table).lost {
            let mut writer = self.requests.take(deadline).ok_or_else(|| self.not_sent(deadline))?;
            self.reopen(&mut writer, &mut reader)?;
        }
        if reader.writer_presence() != WriterPresence::Attached {
            return Err(self.no_server());
        }
        lock(&self.table).server = ServerState::Attached;
        Ok(())
    }

    /// Opens the ends again that went with the server, if a new one has made its own.
    fn reopen(&self, writer: &mut Writer, reader: &mut Reader) -> Result<(), CallError> {
        if self.protocol == Protocol::V1 && writer.has_live_reader() {
            return Ok(()); // Opened again before; the new server has yet to attach its other end.
        }
        let open = || {
            let requests = self.options.open_requests(&self.channel)?;
            let responses = match self.protocol {
                Protocol::V1 => None, // Its own, and still there.
                Protocol::V2 => Some(self.options.open_responses(&self.channel, self.protocol)?),
            };
            Ok::<_, OpenError>((requests, responses))
        };
        match open() {
            Ok((requests, _)) if requests.protocol() != self.protocol => Err(self.no_server()),
            Ok((requests, responses)) => {
                if let Some(bell) = self.bell.get() {
                    bell.ends_go();
                }
                *writer = requests;
                if let Some(responses) = responses {
                    *reader = responses;
                }
                let mut table = lock(&self.table);
                (table.lost, table.base) = (false, table.newest);
                Ok(())
            }
            Err(error) if error.is_not_found() => Err(self.no_server()),
            Err(error) => Err(Arc::new(error).into()),
        }
    }
}
