-- Summaries: texts that stand for all messages of a conversation up to a position.

create table summaries (
    conversation_id uuid not null,
    through bigint not null,
    content text not null,
    token_count integer,
    -- How many messages there are up to `through`.
    messages bigint not null,
    created_at timestamptz not null,
    primary key (conversation_id, through)
);

-- A conversation that is deleted or erased takes its summaries with it. This is no foreign key, because the statement of a foreign key can
-- read the whole table. The table may be empty when the plan is made, and a plan is kept. A request that stores a summary locks the
-- conversation's row first.
create function delete_summaries() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    delete from public.summaries s where s.conversation_id = old.id;
    return null;
end
$$;
revoke execute on function delete_summaries() from public;
create trigger conversations_delete_summaries after delete on conversations
    for each row execute function delete_summaries();
alter table conversations enable always trigger conversations_delete_summaries;

-- The newest summary is also on its conversation, so that a list of conversations reads nothing else.
alter table conversations add column summary_through bigint, add column summary_created_at timestamptz;

-- A summary is stored on the condition that nothing up to its position has changed since a version. Appends behind it do not matter. So a
-- message keeps the conversation's version that it was appended with. The conversation keeps the edits and deletions, at most 16 of them:
-- positions in ascending order, and the version of each. A change makes those at later positions superfluous, so the versions ascend, too.
alter table messages add column appended_version bigint;
alter table conversations add column changed_positions bigint[], add column changed_versions bigint[];
