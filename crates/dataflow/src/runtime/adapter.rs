//! Makes a fragment a timely operator.
//!
//! The operator takes what came on its inputs (or in its feed), tells the fragment from which epoch on more can come (the
//! least of the input frontiers), lets it run, and holds a capability for the lowest epoch that the fragment has not
//! finished. That capability is what tells the workers about each other: an epoch is closed for a fragment when all
//! fragments below it, on all workers, have let go of it.

use std::cell::RefCell;
use std::rc::Rc;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

use super::exchange::ByWorker;
use super::fragment::{Feed, Fragment, Moment};
use super::parcel::Parcel;

/// Hands what has come on an input, with its epoch, to a visitor.
type Drain = Box<dyn FnMut(&mut dyn FnMut(u64, Parcel))>;

/// Adds a fragment to a dataflow.
///
/// `inputs` are other fragments' outputs, each with whether it is exchanged and the entry it leads to. A fragment without
/// inputs takes from its feed. Gives the streams of its `port_count` ports, and the means to wake it.
pub(super) fn install<'scope>(
    scope: Scope<'scope, u64>,
    name: &str,
    mut fragment: Fragment,
    inputs: Vec<(Stream<'scope, u64, Parcel>, bool, usize)>,
    port_count: usize,
    feed: Rc<RefCell<Feed>>,
) -> (Vec<Stream<'scope, u64, Parcel>>, Rc<Activator>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let has_feed = inputs.is_empty();
    let mut drains: Vec<(usize, Drain)> = Vec::with_capacity(inputs.len());
    for (stream, exchanged, entry) in inputs {
        let drain: Drain = if exchanged {
            let mut input = builder.new_input(stream, DistributorPact(|_| ByWorker));
            Box::new(move |visit| input.for_each(|time, parcel| visit(*time.time(), std::mem::take(parcel))))
        } else {
            let mut input = builder.new_input(stream, Pipeline);
            Box::new(move |visit| input.for_each(|time, parcel| visit(*time.time(), std::mem::take(parcel))))
        };
        drains.push((entry, drain));
    }
    let mut streams = Vec::with_capacity(port_count);
    let mut outputs = Vec::with_capacity(port_count);
    for _ in 0..port_count {
        let (output, stream) = builder.new_output::<Parcel>();
        outputs.push(OutputBuilder::<u64, NoopBuilder<Parcel>>::from(output));
        streams.push(stream);
    }
    let activator = Rc::new(scope.activator_for(builder.operator_info().address));
    let wake = Rc::clone(&activator);
    builder.build_reschedule(move |mut capabilities: Vec<Capability<u64>>| {
        capabilities.iter_mut().for_each(|capability| capability.downgrade(&fragment.lowest()));
        move |frontiers: &[MutableAntichain<u64>]| {
            for (entry, drain) in &mut drains {
                drain(&mut |epoch, parcel| fragment.push(Moment::of(epoch), *entry, parcel.batch));
            }
            let open = if has_feed {
                let mut feed = feed.borrow_mut();
                for (epoch, entry, batch) in feed.batches.drain(..) {
                    fragment.push(Moment::of(epoch), entry, batch);
                }
                feed.open
            } else {
                frontiers.iter().filter_map(|f| f.frontier().first().copied()).min().unwrap_or(u64::MAX)
            };
            let more = fragment.run(Moment::of(open), &mut |moment, port, mut parcel| {
                let capability = capabilities[port].delayed(&moment.epoch);
                outputs[port].activate().session_with_builder(&capability).give_container(&mut parcel);
            });
            if more {
                wake.activate();
            }
            if fragment.lowest() == u64::MAX {
                capabilities.clear();
                return false;
            }
            for capability in capabilities.iter_mut().filter(|c| *c.time() < fragment.lowest()) {
                capability.downgrade(&fragment.lowest());
            }
            true
        }
    });
    (streams, activator)
}
