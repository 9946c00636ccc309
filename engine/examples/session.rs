//! A session and a link over plain blocking sockets: bytes in, bytes out, events out. One thread asks, one answers.
//!
//! `cargo run --release --example session`

use bytes::{Bytes, BytesMut};
use landline::link::LinkSetup;
use landline::{Config, Event, Identity, Input, Link, Local, Priority, Role, Session};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let grants = Config::default().grants(); // A real program draws its seeds at random.
    let asker = Local::new(Identity::from_seed([1; 32]), [11; 32], [21; 16], grants);
    let answerer = Local::new(Identity::from_seed([2; 32]), [12; 32], [22; 16], grants);
    let session = Session::initiator(&asker, answerer.peer_id(), [5; 32]);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        drive(stream, &answerer, Session::responder(&answerer, [6; 32])).map_err(|error| error.to_string())
    });
    drive(TcpStream::connect(address)?, &asker, session)?;
    Ok(thread.join().map_err(|_| "the answering thread panicked")??)
}

/// Runs one side until the link is over: the asker opens a channel and asks, the answerer answers in capitals.
fn drive(mut stream: TcpStream, local: &Local, mut session: Session) -> Result<(), Box<dyn Error>> {
    let (mut link, mut events): (Option<Link>, _) = (None, VecDeque::new());
    let (mut input, mut chunk, mut out) = (BytesMut::new(), [0; 16 * 1024], vec![0; 256 * 1024]);
    loop {
        let mut len = session.poll_transmit(&mut out);
        if let (Some(link), Some(sealer)) = (&mut link, session.sealer()) {
            len += link.poll_transmit(sealer, &mut out[len..], Instant::now(), &mut events).len;
        }
        stream.write_all(&out[..len])?;
        if link.as_ref().is_some_and(Link::is_finished) {
            return Ok(());
        }
        match stream.read(&mut chunk)? {
            0 => return Err("the other side is gone".into()),
            len => input.extend_from_slice(&chunk[..len]),
        }
        while let Some(item) = session.handle_input(local, &mut input)? {
            if let Input::Peer(peer) = item {
                let setup = LinkSetup::new(0, local, [7; 16], stream.peer_addr()?);
                link = Some(Link::new(setup, peer, Config::default().tuning(), Instant::now()));
            } else if let (Input::Record(record), Some(link)) = (item, &mut link) {
                link.handle_record(record.freeze(), Instant::now(), &mut events)?;
                events.drain(..).try_for_each(|event| react(link, event))?;
            }
        }
    }
}

fn react(link: &mut Link, event: Event) -> Result<(), Box<dyn Error>> {
    link.event_taken(&event, Instant::now());
    let is_asker = link.peer().role == Role::Initiator;
    match event {
        Event::LinkUp { .. } if is_asker => {
            let channel = link.open_channel("example.shout/1", Priority::Normal)?;
            link.send(channel, Bytes::from_static(b"is anybody there?"))?;
        }
        Event::Messages(batch) => {
            for message in batch.iter() {
                println!("{}: {}", link.peer().id.short(), String::from_utf8_lossy(message));
                if is_asker {
                    link.close(Instant::now(), Config::default().drain_timeout);
                } else {
                    link.send(batch.channel, message.to_ascii_uppercase().into())?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}
