//! Makes a loop: the fragments between a recursion and what is led back to it, in a timely scope of their own.
//!
//! 1. A time in the scope is an epoch and an iteration. What comes from outside is in iteration 0; what is led back, in the iteration after
//!    the one it was made in.
//! 2. A fragment goes through these times one by one, epoch by epoch. A time is over when no fragment of the loop, on any worker,
//!    and nothing outside can send anything for it or an earlier one.
//! 3. A fragment holds capabilities only for times that it has something to do in. (One that held them for what may come would hold up
//!    itself, around the loop.)

use std::collections::BTreeMap;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, ConnectLoop, Enter, InputCapability, Leave, LoopVariable};
use timely::dataflow::{Scope, Stream};
use timely::order::Product;
use timely::progress::frontier::MutableAntichain;

use super::build::{JobParts, Streams, Wired};
use super::exchange::ByWorker;
use super::fragment::{Begins, Moment};
use super::parcel::Parcel;

/// A time in a loop: an epoch and an iteration.
type Time = Product<u64, u64>;

/// Takes what has come on an input.
type Drain = Box<dyn FnMut(&mut dyn FnMut(&InputCapability<Time>, Parcel))>;

/// For each time with something to do, a capability per port.
type Held = BTreeMap<Moment, Vec<Capability<Time>>>;

fn moment(time: &Time) -> Moment {
    Moment { epoch: time.outer, iteration: time.inner }
}

fn time(moment: Moment) -> Time {
    Product::new(moment.epoch, moment.iteration)
}

/// Adds the loop of a recursion to a dataflow: takes the streams that lead to it, and gives those that lead out of it.
pub(super) fn build_loop<'scope>(
    scope: Scope<'scope, u64>,
    parts: &mut JobParts<'_>,
    recursion: usize,
    streams: &mut Streams<'scope, u64>,
) {
    let layout = parts.layout;
    let is_within = |node: usize| layout.loop_of[node] == Some(recursion);
    scope.iterative::<u64, _, _>(|inner| {
        let mut within: Streams<'_, Time> = layout.edges.iter().map(|_| None).collect();
        let mut back = BTreeMap::new();
        for (at, edge) in layout.edges.iter().enumerate().filter(|(_, edge)| is_within(edge.to)) {
            if edge.is_feedback {
                let (handle, stream) = inner.loop_variable::<Parcel>(1);
                back.insert(at, handle);
                within[at] = Some(stream);
            } else if !is_within(edge.from) {
                within[at] = streams[at].take().map(|stream| stream.enter(inner));
            }
        }
        for fragment in 0..layout.fragment_count {
            if layout.loop_at(fragment).is_none_or(|(of, _)| of != recursion) {
                continue;
            }
            let mut wired = parts.wire(fragment, Begins::InLoop);
            let leaving = std::mem::take(&mut wired.leaving);
            for (edge, stream) in leaving.iter().zip(install(inner, wired, leaving.len(), &mut within)) {
                match back.remove(edge) {
                    Some(handle) => stream.connect_loop(handle),
                    None if is_within(layout.edges[*edge].to) => within[*edge] = Some(stream),
                    None => streams[*edge] = Some(stream.leave(scope)),
                }
            }
        }
    });
}

/// Adds a fragment to a loop, and gives the streams of its ports.
fn install<'inner>(
    scope: Scope<'inner, Time>,
    wired: Wired,
    port_count: usize,
    streams: &mut Streams<'inner, Time>,
) -> Vec<Stream<'inner, Time, Parcel>> {
    let Wired { mut fragment, name, arriving, .. } = wired;
    let mut builder = OperatorBuilder::new(name, scope);
    let mut drains: Vec<(usize, Drain)> = Vec::with_capacity(arriving.len());
    for (edge, entry, exchanged) in arriving {
        let Some(stream) = streams[edge].take() else { unreachable!("edges lead to higher fragments, or back") };
        let drain: Drain = if exchanged {
            let mut input = builder.new_input(stream, DistributorPact(|_| ByWorker));
            Box::new(move |visit| {
                input.for_each(|capability, parcel| visit(&capability, std::mem::take(parcel)));
            })
        } else {
            let mut input = builder.new_input(stream, Pipeline);
            Box::new(move |visit| {
                input.for_each(|capability, parcel| visit(&capability, std::mem::take(parcel)));
            })
        };
        drains.push((entry, drain));
    }
    let (mut streams, mut outputs) = (Vec::with_capacity(port_count), Vec::with_capacity(port_count));
    for _ in 0..port_count {
        let (output, stream) = builder.new_output::<Parcel>();
        outputs.push(OutputBuilder::<Time, NoopBuilder<Parcel>>::from(output));
        streams.push(stream);
    }
    let address = builder.operator_info().address;
    let wake = scope.activator_for(address);
    builder.build_reschedule(move |_initial| {
        let mut held = Held::new();
        move |frontiers: &[MutableAntichain<Time>]| {
            for (entry, drain) in &mut drains {
                drain(&mut |capability, parcel| {
                    let now = moment(capability.time());
                    held.entry(now).or_insert_with(|| (0..port_count).map(|port| capability.retain(port)).collect());
                    fragment.push(now, *entry, parcel.batch);
                });
            }
            let open = frontiers.iter().filter_map(|f| f.frontier().iter().map(moment).min()).min();
            let open = open.unwrap_or(Moment::END);
            let more = fragment.run(open, &mut |now, port, mut parcel| {
                let Some(capabilities) = held.get(&now) else { unreachable!("a time at hand is held") };
                outputs[port].activate().session_with_builder(&capabilities[port]).give_container(&mut parcel);
            });
            if more {
                wake.activate();
            }
            hold(&mut held, &fragment.pending().collect::<Vec<_>>());
            open != Moment::END || !held.is_empty()
        }
    });
    streams
}

/// Holds capabilities for these moments and no others; a new one is a later iteration of one that is held.
fn hold(held: &mut Held, pending: &[Moment]) {
    for wanted in pending {
        if held.contains_key(wanted) {
            continue;
        }
        let earlier = held.range(..*wanted).next_back().filter(|(earlier, _)| earlier.epoch == wanted.epoch);
        let Some((_, capabilities)) = earlier else { unreachable!("an operator asks while its iteration is held") };
        let capabilities = capabilities.iter().map(|capability| capability.delayed(&time(*wanted))).collect();
        held.insert(*wanted, capabilities);
    }
    held.retain(|held, _| pending.contains(held));
}
