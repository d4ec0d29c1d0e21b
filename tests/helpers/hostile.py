"""Names that would run or load something if a page took them for HTML."""

HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=http://x.invalid/a.png onerror=alert(1)>',
    "</style></title></table><iframe src=//x.invalid>",
    "' onmouseover='alert(1)&lt;b&gt;",
]
