-- Summaries: texts that stand for all messages of a conversation up to a position.

create table summaries (
    conversation_id uuid not null references conversations on delete cascade,
    through bigint not null,
    content text not null,
    token_count integer,
    -- How many messages there are up to `through`.
    messages bigint not null,
    created_at timestamptz not null,
    primary key (conversation_id, through)
);

-- The newest summary is also on its conversation, so that a list of conversations reads nothing else.
alter table conversations add column summary_through bigint, add column summary_created_at timestamptz;

-- A summary is stored on the condition that nothing up to its position has changed since a version. Appends behind it do not matter. So a
-- message keeps the conversation's version that it was appended with. The conversation keeps the edits and deletions, at most 16 of them:
-- positions in ascending order, and the version of each. A change makes those at later positions superfluous, so the versions ascend, too.
alter table messages add column appended_version bigint;
alter table conversations add column changed_positions bigint[], add column changed_versions bigint[];
