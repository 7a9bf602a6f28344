#!/usr/bin/env escript
%%! +S 1 -mode minimal
%% An SCTP peer in Erlang: see peer.py.

-include_lib("kernel/include/inet.hrl").
-include_lib("kernel/include/inet_sctp.hrl").

say(Format, Args) -> io:format(Format ++ "~n", Args).

main([Verb, Address | Rest]) ->
    {ok, IP} = inet:parse_address(Address),
    {Port, [Style, Streams | _]} =
        case Verb of
            "listen" -> {0, Rest};
            "dial" -> {list_to_integer(hd(Rest)), tl(Rest)}
        end,
    N = list_to_integer(Streams),
    Options = [inet, binary, {type, list_to_atom(Style)}, {active, false}, {buffer, 1 bsl 18}, {sndbuf, 1 bsl 19}, {recbuf, 1 bsl 19},
               {sctp_nodelay, true},
               {sctp_initmsg, #sctp_initmsg{num_ostreams = N, max_instreams = N}},
               {sctp_events, #sctp_event_subscribe{data_io_event = true, association_event = true,
                   address_event = true, send_failure_event = true, peer_error_event = true,
                   shutdown_event = true, partial_delivery_event = true, adaptation_layer_event = true}}],
    case Verb of
        "listen" ->
            {ok, S} = gen_sctp:open([{ip, IP} | Options]),
            ok = gen_sctp:listen(S, true),
            {ok, Bound} = inet:port(S),
            say("listening ~p", [Bound]),
            echo(S, list_to_atom(Style), #{});
        "dial" ->
            {ok, S} = gen_sctp:open(Options),
            {ok, _} = gen_sctp:connect(S, IP, Port, []),
            say("connected~nevent assoc 0", []), % connect has taken the event
            echo(S, list_to_atom(Style), #{})
    end.

echo(S, Style, Waiting) ->
    case gen_sctp:recv(S) of
        {ok, {_, _, [], #sctp_assoc_change{state = State}}} ->
            say("event assoc ~p", [number(State)]),
            echo(S, Style, Waiting);
        {ok, {_, _, [], #sctp_shutdown_event{}}} ->
            say("event shutdown", []),
            echo(S, Style, Waiting);
        {ok, {_, _, _, Event}} when is_tuple(Event) ->
            say("event ~p", [element(1, Event)]),
            echo(S, Style, Waiting);
        {ok, {_, _, [Info], Data}} ->
            message(S, Style, Info, Data),
            echo(S, Style, Waiting);
        {error, Reason} when Reason =:= timeout; Reason =:= econnreset ->
            say("~p", [Reason]),
            echo(S, Style, Waiting);
        {error, Reason} ->
            say("~p", [Reason])
    end.

number(comm_up) -> 0;
number(comm_lost) -> 1;
number(restart) -> 2;
number(shutdown_comp) -> 3;
number(cant_assoc) -> 4.

message(S, stream, _, <<"close">>) -> gen_sctp:close(S);
message(S, stream, _, <<"abort">>) ->
    ok = inet:setopts(S, [{linger, {true, 0}}]),
    gen_sctp:close(S);
message(S, _, #sctp_sndrcvinfo{assoc_id = A}, <<"close">>) -> gen_sctp:eof(S, #sctp_assoc_change{assoc_id = A});
message(S, _, #sctp_sndrcvinfo{assoc_id = A}, <<"abort">>) -> gen_sctp:abort(S, #sctp_assoc_change{assoc_id = A});
message(_, _, _, <<"sleep">>) -> timer:sleep(1000);
message(S, _, #sctp_sndrcvinfo{assoc_id = A}, <<"peeloff">>) ->
    {ok, One} = gen_sctp:peeloff(S, A),
    say("peeled off", []),
    Pid = spawn(fun() -> receive go -> echo(One, stream, #{}) end end),
    ok = gen_sctp:controlling_process(One, Pid),
    Pid ! go;
message(S, _, #sctp_sndrcvinfo{assoc_id = A, stream = Stream, ppid = PPID, flags = Flags}, Data) ->
    Back = #sctp_sndrcvinfo{assoc_id = A, stream = Stream, ppid = PPID,
        flags = [unordered || lists:member(unordered, Flags)]},
    case gen_sctp:send(S, Back, Data) of
        ok -> ok;
        {error, Reason} -> say("send: ~p", [Reason])
    end.
