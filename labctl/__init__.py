"""labctl: a virtual network lab for cloud interconnection, on a real Linux kernel.

The folders are the steps of one pipeline, and a module imports only what stands above it here:

    errors       pure   what can go wrong, by who must act; each kind knows its exit code
    addresses    pure   IPv4 addresses and prefixes from text, fast
    codec        pure   frozen dataclasses to JSON and back
    interrupts          signals: one undoes what was begun, two end at once
    description  pure   what is WRITTEN: YAML text to typed documents, every fault at once
    model        pure   what it MEANS, free of any provider: nodes, segments, overlays, routes, tunnels, NAT
    kinds        pure   the clouds' nouns, one file each: fields, refusals, what they become in the model
    plan         pure   what must EXIST: kernel objects, compiled from the model, compared, rendered
    resolver     pure   what a DNS server answers and asks, without sockets, clock or chance
    kernel              makes it exist: the only code that changes namespaces and their contents
    services            programs inside namespaces: resolver, test servers, path watcher, supervisor
    probes              what is sent and what is SEEN: the prober, its probes, captures and streams
    claims       pure   is it TRUE: what a description claims, resolved, and the verdict on what was seen
    guest               kernels (uml, kvm, tcg), for a command or to stay, that run this same labctl inside
    state               a lab's run directory: lock, journal, keys, the applied plan
    drift               what the kernel holds of a lab, compared with what it is to hold
    breaking            faults put in and taken out again, also by a later process
    describe     pure   text to document, model, plan, checks, drills and changes in one call
    shapes       pure   the text of plain labs of any size: chain, ring, star, leaf-spine
    ending              a lab taken away
    building            a lab made, all of it or nothing
    prove               checks, drills and changes carried out on a lab that is up
    lab                 the stories: up, verify, down and the rest
    report       pure   verdicts, plans and the language itself to text, JSON, JUnit and HTML
    cli                 arguments to lab to report to exit code

`tests/test_layers.py` holds this order, and the purity of the pure modules.
"""

__version__ = "0.1.0"
